package dashboard

import (
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestSearch_ReadsAndWrites(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want search
		out  string // "": as it came
	}{
		{"", search{}, ""},
		{"  ", search{}, " "},
		{"42", search{ID: 42}, ""},
		{"queue:mail", search{Queue: "mail"}, ""},
		{"queue:email:processing", search{Queue: "email:processing"}, ""},
		{"queue:mail kind:welcome* status:dead since:1h", search{Queue: "mail", Kind: "welcome*", Status: "dead", Since: "1h", since: time.Hour}, ""},
		{"since:7d", search{Since: "7d", since: 7 * 24 * time.Hour}, ""},
		{"since:365d", search{Since: "365d", since: job.MaxDelay}, ""},
		{`kind:"my kind"`, search{Kind: "my kind"}, ""},
		{"kind:<script>", search{Kind: "<script>"}, ""},
		{"status:dead  queue:a", search{Queue: "a", Status: "dead"}, "queue:a status:dead"},
	} {
		got, err := parseSearch(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("parseSearch(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
		}
		out := tt.out
		if out == "" {
			out = tt.text
		}
		if s := got.String(); s != strings.TrimSpace(out) {
			t.Errorf("String of %q = %q, want %q", tt.text, s, out)
		}
	}
}

func TestSearch_RefusesWithTheReason(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mail":                             `"mail" says nothing here`,
		"0":                                `"0" says nothing here`,
		"42 queue:mail":                    `"42" says nothing here`,
		"colour:red":                       "is no filter",
		"queue:":                           "followed by nothing",
		"queue:a/b":                        "queue: ",
		"status:done":                      "is none of ready",
		"since:soon":                       "must be a time",
		"since:0s":                         "must be a time",
		"since:366d":                       "must be a time",
		"since:99999999999999999d":         "must be a time",
		`kind:"a`:                          "quote is not closed",
		"kind:" + strings.Repeat("a", 201): "at most 200",
		strings.Repeat("a", 501):           "has 501 bytes, may have 500",
	} {
		if _, err := parseSearch(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseSearch(%.40q) = %v, want %q in it", text, err, want)
		}
	}
}

func TestPlace_SurvivesAnAddress(t *testing.T) {
	t.Parallel()
	for _, want := range []*job.Place{nil, {ID: 7}, {ID: 7, QueueName: "a.b:c", Priority: -1}, {ID: 1<<63 - 1, At: time.UnixMicro(1700000000123456)}} {
		got, err := parsePlace(placeText(want))
		if err != nil || (got == nil) != (want == nil) {
			t.Fatalf("parsePlace(placeText(%+v)) = %+v, %v", want, got, err)
		}
		if want != nil && (got.ID != want.ID || got.QueueName != want.QueueName || got.Priority != want.Priority || !want.At.IsZero() && !got.At.Equal(want.At)) {
			t.Errorf("parsePlace(placeText(%+v)) = %+v", want, got)
		}
	}
	for _, text := range []string{"7", "x.0.0.", "-1.0.0.", "0.0.0.", "7.40000.0.", "7.0.-1.", "7.0.9999999999999999999.", "7.0.0.a/b", "7.0.0.<script>"} {
		if _, err := parsePlace(text); err == nil {
			t.Errorf("parsePlace(%q) = nil, want an error", text)
		}
	}
}
