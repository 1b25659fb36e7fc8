package push

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestAnswer_Verdicts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a     answer
		kind  job.OutcomeKind
		delay time.Duration
		says  string
	}{
		{answer{status: 200}, job.Succeeded, 0, ""},
		{answer{status: 299, never: true}, job.Succeeded, 0, ""},
		{answer{status: 202}, job.Succeeded, 0, ""},
		{answer{status: 202, async: true}, job.Failed, 0, "Rookery-Async"},
		{answer{status: 200, async: true}, job.Succeeded, 0, ""},
		{answer{status: 101}, job.Failed, 0, "101"},
		{answer{status: 302, text: "moved"}, job.Failed, 0, "redirects are not followed"},
		{answer{status: 400, text: "what?"}, job.Failed, 0, "receiver answered 400 Bad Request: what?"},
		{answer{status: 410}, job.Snoozed, goneDelay, ""},
		{answer{status: 410, never: true}, job.Snoozed, goneDelay, ""},
		{answer{status: 422}, job.Discarded, 0, "422"},
		{answer{status: 500, never: true, text: "no"}, job.Discarded, 0, "500 Internal Server Error: no"},
		{answer{status: 429}, job.Failed, 0, "429"},
		{answer{status: 429, retryAfter: time.Minute}, job.Snoozed, time.Minute, ""},
		{answer{status: 503, retryAfter: time.Hour}, job.Snoozed, time.Hour, ""},
		{answer{status: 503, retryAfter: time.Hour, never: true}, job.Discarded, 0, "503"},
		{answer{status: 500, retryAfter: time.Minute}, job.Failed, 0, "500"},
		{answer{status: 999}, job.Failed, 0, "receiver answered 999"},
	} {
		o := job.OutcomeOf(job.Ref{}, tt.a.verdict(), 0, 0)
		if o.Kind != tt.kind || o.Delay != tt.delay || !strings.Contains(o.Error, tt.says) || tt.says == "" && o.Error != "" {
			t.Errorf("verdict of %+v = %s after %s: %q, want %s after %s: %q", tt.a, o.Kind, o.Delay, o.Error, tt.kind, tt.delay, tt.says)
		}
	}
}

func TestRetryAfter_Edges(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "1.5": 0, "0": time.Second, "1": time.Second, "2": 2 * time.Second, "3600": time.Hour, "3601": time.Hour, "99999999999": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Minute).Format(http.TimeFormat):     time.Second,
		now.Add(48 * time.Hour).Format(http.TimeFormat):   time.Hour,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestTextOf_IsWhatPeopleCanRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", maxErrorBody)
	for _, tt := range []struct{ contentType, body, want string }{
		{"text/plain; charset=utf-8", " no\n", "no"},
		{"application/json", `{"a":1}`, `{"a":1}`},
		{"application/problem+json", "{}", "{}"},
		{"text/html", "<script>", "<script>"}, // whoever shows it escapes it
		{"application/octet-stream", "no", ""},
		{"image/png", "no", ""},
		{"", "no", ""},
		{"text/plain", "a\x00\x1b[31mb\xff", "a[31mb"},
		{"text/plain", long, long[:maxErrorBody]},
		{"text/plain", "a" + long, ("a" + long)[:maxErrorBody-1]}, // no half character
	} {
		if got := textOf(tt.contentType, []byte(tt.body)); got != tt.want {
			t.Errorf("textOf(%q, %.20q) = %.20q (%d bytes), want %.20q (%d)", tt.contentType, tt.body, got, len(got), tt.want, len(tt.want))
		}
	}
}

func TestMetrics_NameWhatCameOfARequest(t *testing.T) {
	t.Parallel()
	for class, err := range map[string]error{
		"blocked": &blockedError{blockedPort, "x"}, "timeout": errTimeout, "ended": job.ErrShutdown, "error": errors.New("x"), "4xx": nil,
	} {
		m, _ := newMetrics(nil)
		m.answered("q", answer{status: 404}, err, time.Second)
		if n := counted(t, m.requests.WithLabelValues("q", class)); n != 1 {
			t.Errorf("%v is not counted as %s", err, class)
		}
	}
}
