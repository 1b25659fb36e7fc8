package job

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFilled_Defaults(t *testing.T) {
	t.Parallel()
	got, err := Spec{}.Filled()
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{QueueName: "default", Payload: json.RawMessage(`{}`), Priority: new(100), MaxAttempts: 25}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Filled() (-want +got):\n%s", diff)
	}
	given := Spec{QueueName: "q", Kind: "k", Payload: json.RawMessage(`null`), Headers: json.RawMessage(`{}`), Priority: new(0), RunAt: time.Unix(1, 0), MaxAttempts: 1}
	if got, err = given.Filled(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(given, got); diff != "" {
		t.Errorf("Filled() changed what was given (-want +got):\n%s", diff)
	}
	if got, err = (Spec{Headers: json.RawMessage(`null`)}).Filled(); err != nil || got.Headers != nil {
		t.Errorf("Filled(headers null) = %s, %v, want none", got.Headers, err)
	}
}

func TestFilled_Limits(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	text := func(n int) json.RawMessage { return json.RawMessage(`"` + x(n-2) + `"`) }
	headers := func(n int) json.RawMessage { return json.RawMessage(`{"k":"` + x(n-8) + `"}`) }
	nested := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat(`[`, n) + strings.Repeat(`]`, n))
	}
	west, east := time.FixedZone("", -12*3600), time.FixedZone("", 14*3600)
	tests := []struct {
		name  string
		spec  Spec
		field string // "" means accepted
	}{
		{"queue 1", Spec{QueueName: "q"}, ""},
		{"queue 99", Spec{QueueName: x(99)}, ""},
		{"queue 100", Spec{QueueName: x(100)}, ""},
		{"queue 101", Spec{QueueName: x(101)}, "queue_name"},
		{"queue of all kinds", Spec{QueueName: "azAZ09_.:-"}, ""},
		{"kind 199", Spec{Kind: strings.Repeat("☃", 199)}, ""},
		{"kind 200", Spec{Kind: strings.Repeat("☃", 200)}, ""},
		{"kind 201", Spec{Kind: strings.Repeat("☃", 201)}, "kind"},
		{"kind with NUL", Spec{Kind: "a\x00"}, "kind"},
		{"kind not UTF-8", Spec{Kind: "\xc3"}, "kind"},
		{"priority -1", Spec{Priority: new(-1)}, "priority"},
		{"priority 0", Spec{Priority: new(0)}, ""},
		{"priority 999", Spec{Priority: new(999)}, ""},
		{"priority 1000", Spec{Priority: new(1000)}, ""},
		{"priority 1001", Spec{Priority: new(1001)}, "priority"},
		{"max_attempts -1", Spec{MaxAttempts: -1}, "max_attempts"},
		{"max_attempts 1", Spec{MaxAttempts: 1}, ""},
		{"max_attempts 999", Spec{MaxAttempts: 999}, ""},
		{"max_attempts 1000", Spec{MaxAttempts: 1000}, ""},
		{"max_attempts 1001", Spec{MaxAttempts: 1001}, "max_attempts"},
		{"run_at before 1970", Spec{RunAt: time.Unix(0, -1)}, "run_at"},
		{"run_at 1970", Spec{RunAt: time.Unix(0, 0)}, ""},
		{"run_at 1970, still 1969 there", Spec{RunAt: time.Unix(0, 0).In(west)}, ""},
		{"run_at 1969, 1970 there", Spec{RunAt: time.Unix(-3600, 0).In(east)}, "run_at"},
		{"run_at before 9999", Spec{RunAt: LastRunAt().Add(-1)}, ""},
		{"run_at before 9999, 9999 there", Spec{RunAt: LastRunAt().Add(-1).In(east)}, ""},
		{"run_at 9999", Spec{RunAt: LastRunAt()}, "run_at"},
		{"payload n-1", Spec{Payload: text(MaxPayload - 1)}, ""},
		{"payload n", Spec{Payload: text(MaxPayload)}, ""},
		{"payload n+1", Spec{Payload: text(MaxPayload + 1)}, "payload"},
		{"payload and headers n", Spec{Payload: text(MaxPayload - 10), Headers: headers(10)}, ""},
		{"payload and headers n+1", Spec{Payload: text(MaxPayload - 9), Headers: headers(10)}, "payload"},
		{"headers n-1", Spec{Headers: headers(MaxHeaders - 1)}, ""},
		{"headers n", Spec{Headers: headers(MaxHeaders)}, ""},
		{"headers n+1", Spec{Headers: headers(MaxHeaders + 1)}, "headers"},
		{"headers array", Spec{Headers: json.RawMessage(`[]`)}, "headers"},
		{"headers after spaces", Spec{Headers: json.RawMessage(" \t\r\n{}")}, ""},
		{"headers only spaces", Spec{Headers: json.RawMessage("  ")}, "headers"},
		{"headers not JSON", Spec{Headers: json.RawMessage(`{`)}, "headers"},
		{"headers NUL", Spec{Headers: json.RawMessage(`{"\u0000":1}`)}, "headers"},
		{"payload nested n", Spec{Payload: nested(MaxNesting)}, ""},
		{"payload nested n+1", Spec{Payload: nested(MaxNesting + 1)}, "payload"},
		{"payload nested past encoding/json", Spec{Payload: nested(20_000)}, "payload"},
		{"payload not JSON", Spec{Payload: json.RawMessage(`{]`)}, "payload"},
		{"payload two values", Spec{Payload: json.RawMessage(`1 2`)}, "payload"},
		{"payload not UTF-8", Spec{Payload: json.RawMessage("\"\xff\"")}, "payload"},
		{"payload NUL", Spec{Payload: json.RawMessage(`"\u0000"`)}, "payload"},
		{"payload half a pair", Spec{Payload: json.RawMessage(`"\ud800"`)}, "payload"},
	}
	for _, test := range tests {
		_, err := test.spec.Filled()
		var f *FieldError
		switch {
		case test.field == "" && err != nil:
			t.Errorf("%s: %v, want it accepted", test.name, err)
		case test.field != "" && (!errors.As(err, &f) || f.Field != test.field || !strings.HasPrefix(err.Error(), test.field+" ")):
			t.Errorf("%s: %v, want a FieldError of %s", test.name, err, test.field)
		}
	}
}

func TestCheckQueueName_SaysWhichCharacter(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a{b}": `queue_name has '{' at byte 1`, "caf\u00e9": `queue_name has 'é' at byte 3`, "a/b": `queue_name has '/' at byte 1`,
		"a b": `queue_name has ' ' at byte 1`, "a\n": `queue_name has '\n' at byte 1`, "a\x00": `queue_name has '\x00' at byte 1`,
	} {
		if err := CheckQueueName(name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("CheckQueueName(%q) = %v, want %s…", name, err, want)
		}
	}
	if err := CheckQueueName(""); err == nil {
		t.Error("CheckQueueName of nothing = nil")
	}
}

func TestHasEscapedNUL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		`"\u0000"`: true, `"\\u0000"`: false, `"\\\u0000"`: true, `"\\\\u0000"`: false, `"a\n\u0000"`: true, `"\u00001"`: true,
		`"u0000"`: false, `"\u000"`: false, `"\u0001"`: false, `{"\u0000":1}`: true, ``: false, `\`: false, `"\"\u0000"`: true,
	} {
		if got := hasEscapedNUL([]byte(in)); got != want {
			t.Errorf("hasEscapedNUL(%s) = %v, want %v", in, got, want)
		}
	}
}

func TestHasLoneSurrogate(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		`"\ud83d\ude00"`: false, `"\uD83D\uDE00"`: false, `"\ud83d"`: true, `"\ude00"`: true, `"\ud83dx"`: true, `"\ud83d\n"`: true,
		`"\ude00\ud83d"`: true, `"\ud83d\ud83d\ude00"`: true, `"\ud83d\ude00\ud83d"`: true, `"\\ud83d"`: false, `"\\\ud83d"`: true,
		`"\ud83d\\ude00"`: true, `"\ud7ff\ue000"`: false, `"☃"`: false, `"\u00e9"`: false, `"\ud83d\u0041"`: true, `1`: false,
	} {
		if !json.Valid([]byte(in)) {
			t.Fatalf("%s is no JSON", in)
		}
		if got := hasLoneSurrogate([]byte(in)); got != want {
			t.Errorf("hasLoneSurrogate(%s) = %v, want %v", in, got, want)
		}
	}
}

func TestNesting(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{`1`: 0, `"[[["`: 0, `[]`: 1, `[[],[[]]]`: 3, `{"a":[{"}":"]"}]}`: 3, `"\"["`: 0, ``: 0} {
		if got := nesting([]byte(in)); got != want {
			t.Errorf("nesting(%s) = %d, want %d", in, got, want)
		}
	}
}
