package pull

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Strangers have nothing asked of Postgres by what no push worker can have written, and
// hardly anything by what one might.
func TestCallbacks_StrangersDoNotAskPostgres(t *testing.T) {
	t.Parallel()
	asked, away := 0, errors.New("away")
	key := job.SealKey{ID: 1, Secret: bytes.Repeat([]byte{1}, 32), Signs: true}
	k := &keyring{read: func(context.Context) ([]job.SealKey, error) {
		asked++
		return nil, away
	}}
	c := NewCallbacks(&Hub{keys: k}, nil)
	back := job.Callback{QueueName: "q", Ref: job.Ref{ID: 1, DispatchID: 2}, AttemptCount: 1, ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Second)}
	token, err := back.Token([]job.SealKey{key})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	raw[0]++ // the version
	for _, bad := range []string{"", "x", "rk_key", token[:40], "!" + token[1:], token + "=", strings.Repeat("A", 4096), base64.RawURLEncoding.EncodeToString(raw)} {
		if _, err := c.Open(t.Context(), bad); !errors.Is(err, job.ErrCallbackToken) {
			t.Errorf("Open(%.20q) = %v, want %v", bad, err, job.ErrCallbackToken)
		}
	}
	for _, bad := range []string{"", "x", token, "!"} {
		if ours, err := k.opens(t.Context(), job.LeaseKey{ID: "1", Token: bad}); ours || err != nil {
			t.Errorf("opens(%.20q) = %v, %v, want false", bad, ours, err)
		}
	}
	if asked != 0 {
		t.Errorf("Postgres was asked %d times about tokens that are none", asked)
	}
	if _, err := c.Open(t.Context(), token); !errors.Is(err, away) || asked != 1 {
		t.Errorf("Open with Postgres away = %v after %d questions, want %v after 1", err, asked, away)
	}
	k = &keyring{read: func(context.Context) ([]job.SealKey, error) { return []job.SealKey{key}, nil }}
	if got, err := NewCallbacks(&Hub{keys: k}, nil).Open(t.Context(), token); err != nil || got != back {
		t.Errorf("Open = %+v, %v, want %+v", got, err, back)
	}
}

// slowExtends takes a second for each, and counts those at once.
type slowExtends struct {
	mu            sync.Mutex
	at, most, all int
}

func (s *slowExtends) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at += n
	s.most = max(s.most, s.at)
	if n > 0 {
		s.all++
	}
}

func (s *slowExtends) ExtendCallback(_ context.Context, _ job.Ref, d time.Duration) (time.Time, error) {
	s.count(1)
	defer s.count(-1)
	<-time.After(time.Second)
	return time.Now().Add(d), nil
}

func TestCallbacks_LeaveConnectionsToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, err := newMetrics(nil, &Hub{})
		if err != nil {
			t.Fatal(err)
		}
		s := &slowExtends{}
		c := NewCallbacks(&Hub{m: m}, s)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second+time.Second/2)
		defer cancel()
		var all sync.WaitGroup
		var mu sync.Mutex
		var late int
		for i := range 20 {
			all.Go(func() {
				back := job.Callback{QueueName: "q", Ref: job.Ref{ID: int64(i), DispatchID: 1}, ExpiresAt: time.Now().Add(time.Hour)}
				_, err := c.Settle(ctx, back, job.LeaseOp{Verb: job.LeaseExtend, Lease: time.Minute})
				if err == nil {
					return
				}
				if !errors.Is(err, job.ErrUnavailable) {
					t.Errorf("Settle = %v, want %v", err, job.ErrUnavailable)
				}
				mu.Lock()
				late++
				mu.Unlock()
			})
		}
		all.Wait()
		if s.most != callbacksAtOnce || s.all != 4*callbacksAtOnce || late != 20-s.all {
			t.Errorf("%d were settled, at most %d at once, and %d came too late; want %d, %d and the rest", s.all, s.most, late, 4*callbacksAtOnce, callbacksAtOnce)
		}
	})
}
