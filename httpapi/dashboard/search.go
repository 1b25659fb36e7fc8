package dashboard

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

const (
	maxQuery   = 500 // bytes of a search
	errorChars = 300 // of the errors in a list
)

// search is what somebody looks for, as the search box has it:
//
//	queue:mail kind:welcome* status:dead since:1h
//
// A value with spaces stands in double quotes. A number alone is a job's id.
type search struct {
	ID     int64 // other than 0: the job with this id, and nothing else
	Queue  string
	Kind   string
	Status string
	Since  string // as it was written
	since  time.Duration
}

// lists are the statuses one can look for: the left of the page has them in this order.
func lists() []string {
	return []string{
		"", job.FilterReady, job.FilterScheduled, job.FilterRetrying, job.FilterOut,
		string(job.Running), string(job.Dead), string(job.Completed), string(job.Cancelled),
	}
}

// parseSearch reads what stands in the search box. The error is for people.
func parseSearch(text string) (search, error) {
	var s search
	if len(text) > maxQuery {
		return s, &pageError{400, fmt.Sprintf("The search has %d bytes, may have %d.", len(text), maxQuery)}
	}
	words, err := split(text)
	if err != nil {
		return s, err
	}
	for _, word := range words {
		name, value, found := strings.Cut(word, ":")
		if !found {
			if s.ID, err = strconv.ParseInt(word, 10, 64); err != nil || s.ID < 1 || len(words) > 1 {
				return search{}, &pageError{400, fmt.Sprintf("%q says nothing here: write queue:, kind:, status: or since: before it, or a job's id alone.", short(word))}
			}
			continue
		}
		if err := s.set(name, value); err != nil {
			return search{}, err
		}
	}
	return s, nil
}

func (s *search) set(name, value string) error {
	refuse := func(format string, args ...any) error { return &pageError{400, fmt.Sprintf(format, args...)} }
	if value == "" {
		return refuse("%s: is followed by nothing.", short(name))
	}
	switch name {
	case "queue":
		if err := job.CheckQueueName(value); err != nil {
			return refuse("queue: %s.", err)
		}
		s.Queue = value
	case "kind":
		if err := job.CheckKind(strings.TrimSuffix(value, "*")); err != nil {
			return refuse("kind: %s.", err)
		}
		s.Kind = value
	case "status":
		if !slices.Contains(lists(), value) {
			return refuse("status: %q is none of %s.", short(value), strings.Join(lists()[1:], ", "))
		}
		s.Status = value
	case "since":
		d, err := parseSince(value)
		if err != nil {
			return err
		}
		s.Since, s.since = value, d
	default:
		return refuse("%q is no filter: there are queue:, kind:, status: and since:.", short(name))
	}
	return nil
}

// parseSince reads a duration such as 90s, 30m, 1h or 7d.
func parseSince(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if days, ok := strings.CutSuffix(value, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, 10_000)) * 24 * time.Hour
	}
	if err != nil || d <= 0 || d > job.MaxDelay {
		return 0, &pageError{400, fmt.Sprintf("since: %q must be a time such as 90s, 30m, 1h or 7d, and a year at most.", short(value))}
	}
	return d, nil
}

// split cuts text at spaces outside double quotes.
func split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	quoted, begun := false, false
	for _, c := range text {
		switch {
		case c == '"':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				words = append(words, word.String())
				word.Reset()
			}
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if quoted {
		return nil, &pageError{400, "A double quote is not closed."}
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

// String writes s as the search box has it.
func (s search) String() string {
	if s.ID != 0 {
		return strconv.FormatInt(s.ID, 10)
	}
	var words []string
	for _, w := range [][2]string{{"queue", s.Queue}, {"kind", s.Kind}, {"status", s.Status}, {"since", s.Since}} {
		switch {
		case w[1] == "":
		case strings.Contains(w[1], `"`): // there is no way to write it
		case strings.Contains(w[1], " "):
			words = append(words, w[0]+`:"`+w[1]+`"`)
		default:
			words = append(words, w[0]+":"+w[1])
		}
	}
	return strings.Join(words, " ")
}

// with returns s with another status.
func (s search) with(status string) search {
	s.ID, s.Status = 0, status
	return s
}

// listing is the page behind a place that s asks for.
func (s search) listing(after *job.Place, now time.Time) job.Listing {
	l := job.Listing{Status: s.Status, QueueName: s.Queue, From: after, Limit: pageSize, ErrorChars: errorChars}
	if s.Kind != "" {
		l.Kind = &s.Kind
	}
	if s.since > 0 {
		since := now.Add(-s.since) // for people: a clock that is wrong shows a little more or less
		if s.Status == string(job.Dead) {
			l.DiedAfter = since
		} else {
			l.CreatedAfter = since
		}
	}
	return l
}

// short is enough of a word to recognise it.
func short(word string) string {
	if r := []rune(word); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return word
}

// placeText writes a place for an address: id, priority, microseconds and queue.
func placeText(p *job.Place) string {
	if p == nil {
		return ""
	}
	at := int64(0)
	if !p.At.IsZero() {
		at = p.At.UnixMicro()
	}
	return fmt.Sprintf("%d.%d.%d.%s", p.ID, p.Priority, at, p.QueueName)
}

// parsePlace reads what placeText wrote, or somebody else did.
func parsePlace(text string) (*job.Place, error) {
	if text == "" {
		return nil, nil
	}
	bad := &pageError{400, "This is no place in a list of jobs. Begin at its first page."}
	parts := strings.SplitN(text, ".", 4)
	if len(parts) != 4 {
		return nil, bad
	}
	id, err1 := strconv.ParseInt(parts[0], 10, 64)
	priority, err2 := strconv.ParseInt(parts[1], 10, 16)
	at, err3 := strconv.ParseInt(parts[2], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || id < 1 || at < 0 || at >= job.LastRunAt().UnixMicro() {
		return nil, bad
	}
	if parts[3] != "" && job.CheckQueueName(parts[3]) != nil {
		return nil, bad
	}
	return &job.Place{ID: id, Priority: int16(priority), At: time.UnixMicro(at), QueueName: parts[3]}, nil
}
