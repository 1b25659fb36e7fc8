package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpecs_SurviveTheirEncoding(t *testing.T) {
	t.Parallel()
	priority := 0
	specs := []Spec{
		{QueueName: "a:b.c", Kind: "é<>&", Payload: json.RawMessage(`null`), Headers: json.RawMessage(`{"a":"<b>"}`), Priority: &priority, MaxAttempts: 3,
			RunAt: time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)},
		{Payload: json.RawMessage(`{"n":12345678901234567890.10}`)},
	}
	text, err := EncodeSpecs(specs)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(`\u003c`)) {
		t.Errorf("EncodeSpecs = %s, which has six bytes for a <", text)
	}
	got, err := DecodeSpecs(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range specs {
		if specs[i], err = specs[i].Filled(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(specs, got); diff != "" {
		t.Errorf("DecodeSpecs(EncodeSpecs) (-want +got):\n%s", diff)
	}
	if _, err := EncodeSpecs([]Spec{{QueueName: "a{b"}}); err == nil {
		t.Error("EncodeSpecs of a bad name = nil, want an error")
	}
}

func TestDecodeSpecs_RefusesWhatItDidNotWrite(t *testing.T) {
	t.Parallel()
	const good = `{"queue_name":"q","kind":"","payload":1,"priority":1,"max_attempts":1}`
	if _, err := DecodeSpecs([]byte("[" + good + "]")); err != nil {
		t.Fatalf("DecodeSpecs of a good job = %v", err)
	}
	for _, text := range []string{
		``, `null`, `{}`, `[]`, good, "[" + good, "[" + good + "][]", "[" + good + "] x", `[{"payload":"secret`,
		strings.Replace("["+good+"]", `"kind"`, `"status":"completed","kind"`, 1),
		strings.Replace("["+good+"]", `"q"`, `"a{b"`, 1),
		strings.Replace("["+good+"]", `"priority":1`, `"priority":1001`, 1),
		strings.Replace("["+good+"]", `"payload":1`, `"payload":"\u0000"`, 1),
		strings.Replace("["+good+"]", `"payload":1`, `"payload":1,"run_at":"0001-01-01T00:00:01Z"`, 1),
	} {
		if got, err := DecodeSpecs([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("DecodeSpecs(%s) = %v, %v, want an error without the text", text, got, err)
		}
	}
}

func TestIsSpoolKey(t *testing.T) {
	t.Parallel()
	const good = "0123abcd-0000-4000-8000-0123456789ef"
	for key, want := range map[string]bool{
		good: true, "": false, good[1:]: false, good + "0": false, strings.ToUpper(good): false,
		strings.ReplaceAll(good, "-", "0"): false, strings.Replace(good, "0", "-", 1): false, strings.Replace(good, "-", "g", 1): false,
	} {
		if got := IsSpoolKey(key); got != want {
			t.Errorf("IsSpoolKey(%q) = %t, want %t", key, got, want)
		}
	}
}

func TestSealSpooled_CoversEverything(t *testing.T) {
	t.Parallel()
	secret := func(b byte) []byte { return bytes.Repeat([]byte{b}, secretSize) }
	seals, err := NewSeals([]SealKey{{ID: 1, Secret: secret(1)}, {ID: 2, Secret: secret(2), Signs: true}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSeals([]SealKey{{ID: 2, Secret: secret(3), Signs: true}})
	if err != nil {
		t.Fatal(err)
	}
	const key = "0123abcd-0000-4000-8000-0123456789ef"
	digest, text := bytes.Repeat([]byte{7}, SpoolDigest), []byte(`[{"kind":"a"}]`)
	seal := seals.SealSpooled(key, digest, text)
	for _, tt := range []struct {
		name      string
		seal, key string
		digest    []byte
		text      string
		want      error
	}{
		{"as it was", seal, key, digest, string(text), nil},
		{"another key", seal, strings.Replace(key, "0", "1", 1), digest, string(text), ErrForged},
		{"another digest", seal, key, bytes.Repeat([]byte{8}, SpoolDigest), string(text), ErrForged},
		{"a short digest", seal, key, digest[1:], string(text), ErrForged},
		{"other jobs", seal, key, digest, `[{"kind":"b"}]`, ErrForged},
		{"the seal of another secret", other.SealSpooled(key, digest, text), key, digest, string(text), ErrForged},
		{"of another of ours", strings.Replace(seal, "2:", "1:", 1), key, digest, string(text), ErrForged},
		{"of a key nobody has", strings.Replace(seal, "2:", "3:", 1), key, digest, string(text), ErrSealKey},
		{"none", "", key, digest, string(text), ErrForged},
		{"without a number", seal[1:], key, digest, string(text), ErrForged},
		{"cut", seal[:len(seal)-1], key, digest, string(text), ErrForged},
	} {
		if err := seals.OpenSpooled(tt.seal, tt.key, tt.digest, []byte(tt.text)); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: OpenSpooled() = %v, want %v", tt.name, err, tt.want)
		}
	}
	if again := seals.SealSpooled(key, digest, text); again != seal {
		t.Errorf("SealSpooled again = %s, want %s", again, seal)
	}
}
