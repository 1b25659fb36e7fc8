package job

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/*.json anew")

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

// envelopes are the golden ones, by the name of their file.
func envelopes() map[string]Envelope {
	plain := Envelope{
		ID: 1, DispatchID: 9007199254740991, Version: 1, AttemptCount: 1, QueueName: "email:processing", Kind: "welcome",
		Priority: 100, MaxAttempts: 25,
		CreatedAt: at("2026-11-23T09:00:00.123456Z"), RunAt: at("2026-11-23T09:00:00Z"), DispatchedAt: at("2026-11-23T09:00:00.2Z"),
		Headers: json.RawMessage(`{"traceparent":"00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"}`),
		Payload: json.RawMessage(`{"to":"a@b.c","user_id":7}`),
	}
	lost := plain
	lost.AttemptCount, lost.FailureCount, lost.LostCount, lost.Alone, lost.Priority = 2147483647, 999, 3, true, 0
	bare := Envelope{ID: 1<<63 - 1, DispatchID: 1, Version: 1, QueueName: "default",
		CreatedAt: at("1970-01-01T00:00:00Z"), RunAt: at("9998-12-31T23:59:59.999999Z"), DispatchedAt: at("2026-11-23T09:00:00Z")}
	escaped := plain
	escaped.Kind = "quote \" back\\slash \n tab\t <b>& ☃ \u2028 \x7f"
	escaped.Headers = nil
	escaped.Payload = json.RawMessage(`{"}":"{\"","a":[1e400,"\\u0000","☃",null,{"b":{}}]}`)
	deep := plain
	deep.Headers = json.RawMessage(`{"a}":"}\"}","b":{"c":{}}}`)
	deep.Payload = json.RawMessage(`"just text"`)
	return map[string]Envelope{"plain": plain, "lost": lost, "bare": bare, "escaped": escaped, "deep": deep}
}

func TestEnvelope_Golden(t *testing.T) {
	t.Parallel()
	for name, e := range envelopes() {
		got, err := e.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("Append(%s) =\n%s\nwant\n%s", name, got, want)
		}
		if !json.Valid(got) {
			t.Errorf("Append(%s) is not valid JSON", name)
		}
		back, err := Decode(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("Decode(%s) (-want +got):\n%s", name, diff)
		}
		if name != "escaped" && e.Size() < len(got) {
			t.Errorf("Size(%s) = %d, but it has %d bytes", name, e.Size(), len(got))
		}
	}
}

// The way every envelope takes in practice must be the fast one.
func TestDecode_FastForWhatAppendWrites(t *testing.T) {
	t.Parallel()
	for name, e := range envelopes() {
		data, err := e.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := decodeFast(data); ok == (name == "escaped") {
			t.Errorf("decodeFast(%s) ok = %v", name, ok)
		}
	}
}

// Other producers may write the same JSON otherwise.
func TestDecode_AnyLayout(t *testing.T) {
	t.Parallel()
	want := envelopes()["plain"]
	for _, change := range []func(string) string{
		func(s string) string { return strings.ReplaceAll(s, `,"`, ", \"") },
		func(s string) string { return strings.Replace(s, `,"payload":`, `,"payload": `, 1) },
		func(s string) string { return strings.TrimSuffix(s, "}") + " }" },
		func(s string) string { return s + "\n" },
		func(s string) string { return strings.Replace(s, `"welcome"`, `"\u0077elcome"`, 1) },
		func(s string) string { return strings.TrimSuffix(s, "}") + `,"new_field":1}` },
		func(s string) string { return strings.Replace(s, `"headers":{`, `"headers": {`, 1) },
		func(s string) string { return strings.Replace(s, `00:00.123456Z`, `00:00.123456+00:00`, 1) },
	} {
		data, err := want.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		text := change(string(data))
		got, err := Decode([]byte(text))
		if err != nil {
			t.Errorf("Decode(%s) = %v", text, err)
			continue
		}
		if got.CreatedAt.Equal(want.CreatedAt) {
			got.CreatedAt = want.CreatedAt
		}
		// Inner spaces of headers and payload are theirs to keep.
		got.Headers, got.Payload = unspaced(got.Headers), unspaced(got.Payload)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Decode(%s) (-want +got):\n%s", text, diff)
		}
	}
}

func unspaced(raw json.RawMessage) json.RawMessage {
	return json.RawMessage(strings.ReplaceAll(string(raw), ", ", ","))
}

func TestDecode_Refuses(t *testing.T) {
	t.Parallel()
	e := envelopes()["plain"]
	data, err := e.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, fresh string) string {
		if !strings.Contains(string(data), old) {
			t.Fatalf("no %s in %s", old, data)
		}
		return strings.Replace(string(data), old, fresh, 1)
	}
	for _, text := range []string{
		"", "{}", "null", "[]", "5", "not json", string(data[:len(data)-1]), string(data) + "}",
		replace(`"v":1`, `"v":2`),
		replace(`"id":1`, `"id":0`), replace(`"id":1`, `"id":-1`), replace(`"id":1`, `"id":1.5`), replace(`"id":1`, `"id":9223372036854775808`),
		replace(`"dispatch_id":9007199254740991`, `"dispatch_id":0`),
		replace(`"priority":100`, `"priority":32768`), replace(`"attempt_count":1`, `"attempt_count":2147483648`),
		replace(`"priority":100`, `"priority":"100"`), replace(`"id":1`, `"id":01`),
		replace(`2026-11-23T09:00:00Z`, `tomorrow`), replace(`2026-11-23T09:00:00Z`, `12026-11-23T09:00:00Z`),
		replace(`"user_id":7}`, `"user_id":}`), replace(`{"to"`, `{{"to"`),
	} {
		if got, err := Decode([]byte(text)); !errors.Is(err, ErrEnvelope) {
			t.Errorf("Decode(%s) = %+v, %v, want ErrEnvelope", text, got, err)
		}
	}
}

func TestAppend_YearsItCannotWrite(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"created_at", "run_at", "dispatched_at"} {
		for _, when := range []time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
			time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600))} {
			e := envelopes()["plain"]
			switch field {
			case "created_at":
				e.CreatedAt = when
			case "run_at":
				e.RunAt = when
			case "dispatched_at":
				e.DispatchedAt = when
			}
			if _, err := e.Append(nil); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("Append(%s %s) = %v, want an error that names it", field, when, err)
			}
		}
	}
}

func TestAppend_KeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	e := envelopes()["plain"]
	got, err := e.Append([]byte("before"))
	if err != nil || !strings.HasPrefix(string(got), `before{"id":1,"dispatch_id":9007199254740991,"v":1,`) {
		t.Errorf("Append(before) = %s, %v", got, err)
	}
}

// Never panics; what the fast way accepts is what encoding/json gives; and writing
// what was read gives something that reads the same.
func FuzzDecode(f *testing.F) {
	for _, e := range envelopes() {
		data, err := e.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add([]byte(strings.Replace(string(data), `"payload":`, `"payload": `, 1)))
		f.Add([]byte(strings.Replace(string(data), `"headers":`, `"headers":null,"headers":`, 1)))
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte(`{"id":1,"dispatch_id":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if fast, ok := decodeFast(data); ok {
			var slow Envelope
			if err := json.Unmarshal(data, &slow); err != nil {
				t.Fatalf("decodeFast took %q, encoding/json says %v", data, err)
			}
			slow.Headers, slow.Payload = notNull(slow.Headers), notNull(slow.Payload)
			if diff := cmp.Diff(slow, fast); diff != "" {
				t.Fatalf("decodeFast(%q) (-encoding/json +fast):\n%s", data, diff)
			}
		}
		e, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrEnvelope) {
				t.Fatalf("Decode(%q) = %v, want ErrEnvelope", data, err)
			}
			return
		}
		once, err := e.Append(nil)
		if err != nil {
			return // a year that only another zone could name
		}
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("Decode(%q) after Append: %v", once, err)
		}
		twice, err := again.Append(nil)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("Append(Decode(%q)) = %q, %v", once, twice, err)
		}
	})
}

func BenchmarkEnvelope_Append(b *testing.B) {
	e := envelopes()["plain"]
	buf := make([]byte, 0, e.Size())
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = e.Append(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"plain", "bare", "escaped"} {
		e := envelopes()[name]
		data, err := e.Append(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
