package push

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/penguinmails/rookery/job"
)

const (
	maxErrorBody  = 1 << 10         // bytes of a text body in an attempt's error
	minRetryAfter = time.Second     // what a receiver may ask for
	maxRetryAfter = time.Hour       // the same
	goneDelay     = 2 * time.Second // until the queue is paused
)

// answer is what is kept of a receiver's answer.
type answer struct {
	status     int
	retryAfter time.Duration // 0: it did not say
	never      bool          // Rookery-Retry: never
	async      bool          // Rookery-Async: true
	text       string        // the beginning of a text body
}

func answerOf(resp *http.Response, now time.Time) answer {
	return answer{
		status:     resp.StatusCode,
		retryAfter: retryAfter(resp.Header.Get("Retry-After"), now),
		never:      strings.EqualFold(resp.Header.Get(headerRetry), "never"),
		async:      strings.EqualFold(resp.Header.Get(headerAsync), "true"),
	}
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3); 0: neither.
func retryAfter(text string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	} else {
		return 0
	}
	return min(max(d, minRetryAfter), maxRetryAfter)
}

func (a answer) good() bool { return a.status/100 == 2 && !a.wantsAsync() }

// wantsAsync: the receiver will do the work later and call back. To complete the job
// at its answer could lose it.
func (a answer) wantsAsync() bool { return a.status == http.StatusAccepted && a.async }

// gone: the receiver wants no more of these.
func (a answer) gone() bool { return a.status == http.StatusGone }

// busy: the receiver wants fewer of these at once.
func (a answer) busy() bool {
	return a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
}

// verdict is what a handler returns for the answer.
func (a answer) verdict() error {
	switch {
	case a.good():
		return nil
	case a.gone():
		return job.Snooze(goneDelay)
	case a.never, a.status == http.StatusUnprocessableEntity:
		return job.Discard(a.err())
	case a.busy() && a.retryAfter > 0:
		return job.Snooze(a.retryAfter)
	}
	return a.err()
}

// err is the answer as an attempt's error.
func (a answer) err() error {
	said := fmt.Sprintf("receiver answered %d %s", a.status, http.StatusText(a.status))
	switch {
	case a.wantsAsync():
		return errors.New(said + " with Rookery-Async: true, and the push worker was not told where receivers call back (ROOKERY_CALLBACK_URL)")
	case a.status/100 == 3:
		return errors.New(said + ", and redirects are not followed")
	case a.text != "":
		said += ": " + a.text
	}
	return errors.New(strings.TrimSpace(said))
}

// class names the answer in the metrics: 2xx, 3xx and so on.
func (a answer) class() string {
	if a.status < 100 || a.status > 599 {
		return "other"
	}
	return strconv.Itoa(a.status/100) + "xx"
}

// textOf is the beginning of a body that people can read.
func textOf(contentType string, body []byte) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(media, "text/") && media != "application/json" && !strings.HasSuffix(media, "+json") {
		return ""
	}
	text := strings.ToValidUTF8(string(body[:min(len(body), maxErrorBody)]), "")
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return -1
		}
		return c
	}, text))
}
