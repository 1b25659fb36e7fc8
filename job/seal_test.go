package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// oldKey and newKey are what the golden files are sealed with.
var (
	oldKey = SealKey{ID: 7, Secret: bytes.Repeat([]byte{0x17}, 32)}
	newKey = SealKey{ID: 2147483647, Secret: bytes.Repeat([]byte{0xa5}, 32), Signs: true}
)

const sealEpoch = 42

func seals(t testing.TB, keys ...SealKey) *Seals {
	t.Helper()
	s, err := NewSeals(keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The bytes of a sealed envelope, for whoever writes a worker in another language.
func TestSeals_Golden(t *testing.T) {
	t.Parallel()
	s := seals(t, oldKey, newKey)
	for name, e := range envelopes() {
		got, err := s.Append(nil, &e, sealEpoch)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "sealed-"+name+".json")
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
		// Who has no keys reads it all the same.
		if plain, err := Decode(bytes.Clone(want)); err != nil || cmp.Diff(e, plain) != "" {
			t.Errorf("Decode(%s) = %v, %s", want, err, cmp.Diff(e, plain))
		}
		back, err := s.Open(want, e.QueueName, sealEpoch)
		if err != nil {
			t.Fatalf("Open(%s) = %v", name, err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("Open(%s) (-want +got):\n%s", name, diff)
		}
		if bare, _ := e.Append(nil); len(got)-len(bare) > SealSize {
			t.Errorf("the seal of %s has %d bytes, SealSize is %d", name, len(got)-len(bare), SealSize)
		}
	}
}

// Whatever byte is changed, taken away or added, the envelope is not opened.
func TestSeals_OpenRefusesEveryChange(t *testing.T) {
	t.Parallel()
	s := seals(t, oldKey, newKey)
	e := envelopes()["plain"]
	sealed, err := s.Append(nil, &e, sealEpoch)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, data []byte) {
		t.Helper()
		text := string(data)
		if got, err := s.Open(data, e.QueueName, sealEpoch); !errors.Is(err, ErrForged) && !errors.Is(err, ErrSealKey) {
			t.Errorf("Open(%s: %s) = %+v, %v, want it refused", what, text, got, err)
		}
	}
	for i := range sealed {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			bad := bytes.Clone(sealed)
			bad[i] ^= flip
			refused(fmt.Sprintf("byte %d ^ %#x", i, flip), bad)
		}
		refused(fmt.Sprintf("cut to %d", i), bytes.Clone(sealed[:i]))
		refused(fmt.Sprintf("from %d on", i+1), bytes.Clone(sealed[i+1:]))
		refused(fmt.Sprintf("a space at %d", i), append(append(bytes.Clone(sealed[:i]), ' '), sealed[i:]...))
	}
	for _, behind := range []string{" ", "\n", "}", `,"mac":"AAAAAAAAAAAAAAAAAAAAAA"}`} {
		refused("something behind it", append(bytes.Clone(sealed), behind...))
	}
}

func TestSeals_OpenRefusesAnotherWindow(t *testing.T) {
	t.Parallel()
	s := seals(t, oldKey, newKey)
	for _, c := range []struct {
		name, queue string
		epoch       int64
		change      func(string) string
		want        error
	}{
		{"its own", "email:processing", sealEpoch, nil, nil},
		{"another queue", "email:sending", sealEpoch, nil, ErrForged},
		{"the epoch before", "email:processing", sealEpoch - 1, nil, ErrForged},
		{"the epoch after", "email:processing", sealEpoch + 1, nil, ErrForged},
		{"no epoch", "email:processing", 0, nil, ErrForged},
		{"no seal", "email:processing", sealEpoch, func(s string) string { return s[:strings.LastIndex(s, `,"key"`)] + "}" }, ErrForged},
		{"no mac", "email:processing", sealEpoch, func(s string) string { return s[:strings.LastIndex(s, `,"mac"`)] + "}" }, ErrForged},
		{"an empty mac", "email:processing", sealEpoch, func(s string) string { return s[:len(s)-24] + `"}` }, ErrForged},
		{"another key of ours", "email:processing", sealEpoch, renamed("7"), ErrForged},
		{"a key nobody has", "email:processing", sealEpoch, renamed("8"), ErrSealKey},
		{"a key above 31 bits", "email:processing", sealEpoch, renamed("2147483648"), ErrForged},
		{"a key with a sign", "email:processing", sealEpoch, renamed("-7"), ErrForged},
		{"a key that is no number", "email:processing", sealEpoch, renamed(`"7"`), ErrForged},
	} {
		e := envelopes()["plain"]
		sealed, err := s.Append(nil, &e, sealEpoch)
		if err != nil {
			t.Fatal(err)
		}
		text := string(sealed)
		if c.change != nil {
			text = c.change(text)
		}
		if _, err := s.Open([]byte(text), c.queue, c.epoch); !errors.Is(err, c.want) {
			t.Errorf("Open(%s: %s) = %v, want %v", c.name, text, err, c.want)
		}
	}
}

// renamed puts another key's id into the golden envelope.
func renamed(id string) func(string) string {
	return func(s string) string { return strings.Replace(s, `,"key":2147483647,`, `,"key":`+id+`,`, 1) }
}

// A seal inside a payload is text: only the end of the envelope is looked at.
func TestSeals_PayloadCannotSeal(t *testing.T) {
	t.Parallel()
	s := seals(t, newKey)
	e := envelopes()["plain"]
	sealed, err := s.Append(nil, &e, sealEpoch)
	if err != nil {
		t.Fatal(err)
	}
	outer := e
	outer.ID, outer.Payload = 2, json.RawMessage(sealed)
	unsealed, err := outer.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(unsealed), strings.TrimSuffix(string(unsealed), "}"), string(unsealed) + string(sealed[len(sealed)-macTail:])} {
		if got, err := s.Open([]byte(text), e.QueueName, sealEpoch); !errors.Is(err, ErrForged) {
			t.Errorf("Open(%s) = %+v, %v, want %v", text, got, err, ErrForged)
		}
	}
}

// What the old key has sealed is opened while the set still has it.
func TestSeals_Rotation(t *testing.T) {
	t.Parallel()
	signing := oldKey
	signing.Signs = true
	before, after := seals(t, signing), seals(t, oldKey, newKey)
	without := seals(t, newKey)
	e := envelopes()["plain"]
	for _, c := range []struct {
		name     string
		by, with *Seals
		want     error
	}{
		{"old by old", before, before, nil}, {"old by both", before, after, nil}, {"old by new", before, without, ErrSealKey},
		{"new by old", after, before, ErrSealKey}, {"new by both", after, after, nil}, {"new by new", without, after, nil},
	} {
		sealed, err := c.by.Append(nil, &e, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.with.Open(sealed, e.QueueName, 1); !errors.Is(err, c.want) {
			t.Errorf("Open(%s) = %v, want %v", c.name, err, c.want)
		}
	}
}

// What is sealed and cannot be read is no forgery.
func TestSeals_OpenTellsUnreadableFromForged(t *testing.T) {
	t.Parallel()
	s := seals(t, newKey)
	e := envelopes()["plain"]
	e.Payload = json.RawMessage(`{"not":`)
	sealed, err := s.Append(nil, &e, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(sealed, e.QueueName, 1); !errors.Is(err, ErrEnvelope) || errors.Is(err, ErrForged) {
		t.Errorf("Open(unreadable) = %v, want %v", err, ErrEnvelope)
	}
}

func TestNewSeals_RefusesOddSets(t *testing.T) {
	t.Parallel()
	short := SealKey{ID: 3, Secret: make([]byte, 31), Signs: true}
	nameless := newKey
	nameless.ID = 0
	second := oldKey
	second.Signs = true
	for _, c := range []struct {
		name string
		keys []SealKey
		want string
	}{
		{"none", nil, "none of the seal keys signs"},
		{"no signer", []SealKey{oldKey}, "none of the seal keys signs"},
		{"two signers", []SealKey{newKey, second}, "signs already"},
		{"twice", []SealKey{newKey, newKey}, "two of it"},
		{"a short secret", []SealKey{short}, "31 bytes"},
		{"no id", []SealKey{nameless}, "must be positive"},
	} {
		if _, err := NewSeals(c.keys); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewSeals(%s) = %v, want %q", c.name, err, c.want)
		}
	}
}

func TestSealKey_PrintsNoSecret(t *testing.T) {
	t.Parallel()
	k := SealKey{ID: 5, Secret: []byte("0123456789abcdef0123456789abcdef")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{k, &k, []SealKey{k}} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, "abcdef") || strings.Contains(text, fmt.Sprintf("%x", "abcdef")) || strings.Contains(text, "97 98 99") {
				t.Errorf("Sprintf(%q, %T) = %q: it shows the secret", verb, v, text)
			}
		}
	}
}

func sealBench(size int) Envelope {
	e := envelopes()["plain"]
	e.Headers = nil
	e.Payload = json.RawMessage(`"` + strings.Repeat("x", size-2) + `"`)
	return e
}

func BenchmarkSeals(b *testing.B) {
	s := seals(b, oldKey, newKey)
	for _, size := range []int{120, 1 << 10, 20 << 10} {
		e := sealBench(size)
		buf := make([]byte, 0, e.Size()+SealSize)
		sealed, err := s.Append(nil, &e, sealEpoch)
		if err != nil {
			b.Fatal(err)
		}
		bare, err := e.Append(nil)
		if err != nil {
			b.Fatal(err)
		}
		run := func(name string, step func() error) {
			b.Run(fmt.Sprintf("%s/%dB", name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := step(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("AppendBare", func() error { _, err := e.Append(buf); return err })
		run("AppendSealed", func() error { _, err := s.Append(buf, &e, sealEpoch); return err })
		run("DecodeBare", func() error { _, err := Decode(bare); return err })
		work := make([]byte, len(sealed))
		run("OpenSealed", func() error { _, err := s.Open(work[:copy(work, sealed)], e.QueueName, sealEpoch); return err })
	}
}
