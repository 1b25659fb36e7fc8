package job

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzEnvelope: whatever a job holds, what is written is JSON and reads as the same
// job. Names that are not UTF-8 cannot come out of Postgres.
func FuzzEnvelope(f *testing.F) {
	f.Add(int64(1), int64(9007199254740991), "email:processing", "welcome", []byte(`{"a":"b"}`), []byte(`{"to":"a@b.c"}`), int64(1764000000123456), int16(100), true)
	f.Fuzz(func(t *testing.T, id, dispatchID int64, queue, kind string, headers, payload []byte, micros int64, small int16, alone bool) {
		if id <= 0 || dispatchID <= 0 || !utf8.ValidString(queue) || !utf8.ValidString(kind) || small < 0 {
			return
		}
		var object map[string]any
		if len(headers) > 0 && json.Unmarshal(headers, &object) != nil || len(payload) > 0 && !json.Valid(payload) || bytes.ContainsAny(payload, " \t\r\n") {
			return // not out of a jsonb column, or in another layout than ours
		}
		at := time.UnixMicro(micros).UTC()
		want := Envelope{
			ID: id, DispatchID: dispatchID, Version: EnvelopeVersion, AttemptCount: int32(small), QueueName: queue, Kind: kind,
			Priority: small, MaxAttempts: small, FailureCount: small, LostCount: small, Alone: alone,
			CreatedAt: at, RunAt: at, DispatchedAt: at, Headers: notNull(bytes.TrimSpace(headers)), Payload: notNull(payload),
		}
		text, err := want.Append(nil)
		if err != nil {
			if y := at.Year(); y >= 0 && y <= 9999 {
				t.Fatalf("Append(%+v) = %v", want, err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("Append(%+v) = %q, which is not JSON", want, text)
		}
		got, err := Decode(text)
		if err != nil {
			t.Fatalf("Decode(%q) = %v", text, err)
		}
		same := cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) // nil or empty
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Fatalf("Decode(Append(job)) (-want +got):\n%s", diff)
		}
	})
}

// FuzzSpec: what Filled lets through keeps every limit of limits.go, and filling it
// again changes nothing.
func FuzzSpec(f *testing.F) {
	f.Add("email:processing", "welcome", []byte(`{"to":"a@b.c"}`), []byte(`{"a":"b"}`), 100, int64(0), 25)
	f.Fuzz(func(t *testing.T, queue, kind string, payload, headers []byte, priority int, seconds int64, attempts int) {
		s := Spec{QueueName: queue, Kind: kind, Payload: payload, Headers: headers, Priority: &priority, MaxAttempts: attempts}
		if seconds != 0 {
			s.RunAt = time.Unix(seconds, 0)
		}
		got, err := s.Filled()
		if err != nil {
			var field *FieldError
			if !asField(err, &field) || field.Field == "" || !utf8.ValidString(err.Error()) || bytes.ContainsAny([]byte(err.Error()), "\x00\n\x1b") || len(err.Error()) > 500 {
				t.Fatalf("Filled(%+v) = %q, want one short line that names a field", s, err)
			}
			return
		}
		if len(got.Payload)+len(got.Headers) > MaxPayload || len(got.Headers) > MaxHeaders || utf8.RuneCountInString(got.Kind) > MaxKind ||
			!json.Valid(got.Payload) || len(got.Headers) > 0 && !json.Valid(got.Headers) || got.QueueName == "" || *got.Priority < 0 || got.MaxAttempts < 1 {
			t.Fatalf("Filled(%+v) = %+v, which breaks a limit", s, got)
		}
		again, err := got.Filled()
		if err != nil || cmp.Diff(got, again) != "" {
			t.Fatalf("Filled(Filled(%+v)) = %+v, %v", s, again, err)
		}
	})
}

func asField(err error, target **FieldError) bool {
	f, ok := err.(*FieldError) //nolint:errorlint // Filled promises it unwrapped
	*target = f
	return ok
}

// FuzzErrorText: what a handler says becomes text that Postgres stores, once and for
// all.
func FuzzErrorText(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\xff\x1b[31m<script>\n")
	f.Fuzz(func(t *testing.T, said string) {
		got := ErrorText(said)
		if !storable(got) || len(got) > MaxErrorText || ErrorText(got) != got {
			t.Fatalf("ErrorText(%q) = %q, want storable text of at most %d bytes", said, got, MaxErrorText)
		}
		if storable(said) && len(said) <= MaxErrorText && got != said {
			t.Fatalf("ErrorText(%q) = %q, want it unchanged", said, got)
		}
	})
}
