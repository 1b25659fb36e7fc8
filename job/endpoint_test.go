package job_test

import (
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/job"
)

func TestEndpoint_CheckEdges(t *testing.T) {
	t.Parallel()
	good := job.Endpoint{QueueName: "mail", URL: "https://a.example:8443/hook?x=1"}.Filled()
	if err := good.Check(); err != nil {
		t.Fatalf("Check(%+v) = %v, want nil", good, err)
	}
	with := func(change func(*job.Endpoint)) job.Endpoint {
		e := good
		change(&e)
		return e
	}
	for _, tt := range []struct {
		e     job.Endpoint
		field string // "": it is good
	}{
		{with(func(e *job.Endpoint) { e.QueueName = "" }), "queue_name"},
		{with(func(e *job.Endpoint) { e.TimeoutMS = 999 }), "timeout_ms"},
		{with(func(e *job.Endpoint) { e.TimeoutMS = 1000 }), ""},
		{with(func(e *job.Endpoint) { e.TimeoutMS = 600_000 }), ""},
		{with(func(e *job.Endpoint) { e.TimeoutMS = 600_001 }), "timeout_ms"},
		{with(func(e *job.Endpoint) { e.MaxInFlight = -1 }), "max_in_flight"},
		{with(func(e *job.Endpoint) { e.MaxInFlight = 1000 }), ""},
		{with(func(e *job.Endpoint) { e.MaxInFlight = 1001 }), "max_in_flight"},
		{with(func(e *job.Endpoint) { e.RatePerSecond = 0.009 }), "rate_per_second"},
		{with(func(e *job.Endpoint) { e.RatePerSecond = 0.01 }), ""},
		{with(func(e *job.Endpoint) { e.RatePerSecond = 10_001 }), "rate_per_second"},
		{with(func(e *job.Endpoint) { e.RatePerSecond = math.NaN() }), "rate_per_second"},
	} {
		err := tt.e.Check()
		var wrong *job.FieldError
		if tt.field == "" && err != nil || tt.field != "" && (!errors.As(err, &wrong) || wrong.Field != tt.field) {
			t.Errorf("Check(%+v) = %v, want field %q", tt.e, err, tt.field)
		}
	}
}

func TestEndpoint_CheckURL(t *testing.T) {
	t.Parallel()
	const start = "https://a.example/"
	for url, ok := range map[string]bool{
		"https://a.example":      true,
		"http://10.0.0.1:8080/x": true, // where requests may go is the sender's to say
		"https://[2001:db8::1]/": true,
		start + strings.Repeat("a", job.MaxEndpointURL-len(start)):   true,
		start + strings.Repeat("a", job.MaxEndpointURL-len(start)+1): false,
		"":                               false,
		"a.example":                      false,
		"ftp://a.example":                false,
		"file:///etc/passwd":             false,
		"gopher://a.example":             false,
		"https://":                       false,
		"https:///path":                  false,
		"https://:443":                   false,
		"https://user@a.example":         false,
		"https://user:canary@a.example":  false,
		"https://a.example/#x":           false,
		"https://a.example/#":            false,
		"https://a.example:0":            false,
		"https://a.example:":             false,
		"https://a.example:65536":        false,
		"https://a.example/a b":          false,
		"https://a.example/\r\nX: y":     false,
		"https://a.example/\x00":         false,
		"https://exämple.de":             false,
		"https://[fe80::1%25eth0]/":      false,
		"https://%61.example/":           false,
		"https://a.example%2f@b.example": false,
	} {
		err := job.Endpoint{QueueName: "q", URL: url}.Filled().Check()
		if (err == nil) != ok {
			t.Errorf("Check(%q) = %v, want good %t", url, err, ok)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("Check(%q) = %v, which repeats the URL", url, err)
		}
	}
}

func TestEndpointSecret_Edges(t *testing.T) {
	t.Parallel()
	text := job.NewEndpointSecret()
	if raw, err := job.ParseEndpointSecret(text); err != nil || len(raw) != 32 || text == job.NewEndpointSecret() {
		t.Errorf("a new secret has %d bytes, %v, want 32 of its own", len(raw), err)
	}
	of := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for text, ok := range map[string]bool{
		"whsec_" + of(23): false, "whsec_" + of(24): true, "whsec_" + of(64): true, "whsec_" + of(65): false,
		of(32): false, "": false, "whsec_": false, "whsec_" + of(32) + "!": false,
	} {
		if _, err := job.ParseEndpointSecret(text); (err == nil) != ok || err != nil && text != "" && strings.Contains(err.Error(), text) && len(text) > 6 {
			t.Errorf("ParseEndpointSecret(%q) = %v, want good %t and no secret", text, err, ok)
		}
	}
}
