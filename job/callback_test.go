package job_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// A token says what it was made of, until it expires, to whoever has the key; with any
// byte of it changed it says nothing.
func TestCallback_TokenIsWhatWasSigned(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_795_694_400, 0)
	old, fresh := job.SealKey{ID: 1, Secret: bytes.Repeat([]byte{1}, 32)}, job.SealKey{ID: 2, Secret: bytes.Repeat([]byte{2}, 32), Signs: true}
	keys := []job.SealKey{old, fresh}
	want := job.Callback{QueueName: strings.Repeat("q", 100), Ref: job.Ref{ID: 1<<62 + 1, DispatchID: 1<<52 + 3}, AttemptCount: 7, ExpiresAt: now.Add(time.Hour)}
	token, err := want.Token(keys)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := job.OpenCallback(keys, token, now); err != nil || got != want {
		t.Errorf("OpenCallback = %+v, %v, want %+v", got, err, want)
	}
	refused := func(what string, keys []job.SealKey, token string, now time.Time) {
		t.Helper()
		if got, err := job.OpenCallback(keys, token, now); !errors.Is(err, job.ErrCallbackToken) {
			t.Errorf("%s: OpenCallback = %+v, %v, want %v", what, got, err, job.ErrCallbackToken)
		}
	}
	if _, err := job.OpenCallback(keys, token, want.ExpiresAt.Add(-time.Second)); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	refused("at its end", keys, token, want.ExpiresAt)
	refused("another key", []job.SealKey{old}, token, now)
	refused("no key", nil, token, now)
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		refused("a changed byte", keys, base64.RawURLEncoding.EncodeToString(changed), now)
	}
	for _, cut := range []string{"", "x", token[:len(token)-1], token + "A", token[:20], strings.Repeat("A", 4096), "!" + token[1:]} {
		refused("cut", keys, cut, now)
	}
	if _, err := want.Token([]job.SealKey{old}); err == nil {
		t.Error("Token with no key that signs = nil, want an error")
	}
}
