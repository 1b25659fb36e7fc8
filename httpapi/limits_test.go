package httpapi

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestLimiter_TakesAndWaits(t *testing.T) {
	t.Parallel()
	l := newLimiter(10, 2)
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 0, 100 * time.Millisecond, 100 * time.Millisecond} {
		if got := l.take("a", now); got != want {
			t.Errorf("take %d = %s, want %s", i+1, got, want)
		}
	}
	if got := l.take("b", now); got != 0 {
		t.Errorf("take of another = %s, want 0", got)
	}
	if got := l.take("a", now.Add(100*time.Millisecond)); got != 0 {
		t.Errorf("take after the wait = %s, want 0", got)
	}
}

func TestLimiter_IsBounded(t *testing.T) {
	t.Parallel()
	l := newLimiter(1, 1)
	now := time.Unix(1000, 0)
	for i := range maxBuckets + 100 {
		l.take(fmt.Sprint(i), now)
	}
	if n := len(l.buckets); n > maxBuckets+1 {
		t.Errorf("%d buckets, want at most %d and the shared one", n, maxBuckets)
	}
	if got := l.take("one more", now); got == 0 {
		t.Error("a newcomer where there is no room took a token of its own")
	}
	if got := l.take("later", now.Add(time.Hour)); got != 0 || len(l.buckets) > 2 {
		t.Errorf("an hour later: take = %s with %d buckets, want 0 and the full ones gone", got, len(l.buckets))
	}
}

// A key that people made has its rate; those of the options have none.
func TestRate_OfAKey(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{}
	busy, _ := f.give([]job.Scope{job.ScopeJobsRead})
	other, _ := f.give([]job.Scope{job.ScopeJobsRead})
	s := newServer(t, &fakeJobs{}, Options{Keys: []string{keyA}, KeyStore: f, Rate: 0.001})
	for i, status := range []int{200, 429, 429} {
		w := asKey(s, busy, "GET", "/v1/queues", "")
		if w.Code != status {
			t.Errorf("request %d = %d, want %d", i+1, w.Code, status)
		}
		if status == 429 {
			if wantProblem(t, w, 429, codeRateLimited); w.Header().Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		}
	}
	for key, times := range map[string]int{other: 1, keyA: 5} {
		for range times {
			if w := asKey(s, key, "GET", "/v1/queues", ""); w.Code != 200 {
				t.Errorf("another key's request = %d, want 200", w.Code)
			}
		}
	}
}

// Who tries unknown keys is slowed down before Postgres is asked; a known key from the
// same address is not.
func TestRate_OfUnknownKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeKeys{}
		good, _ := f.give([]job.Scope{job.ScopeJobsRead})
		s := newServer(t, &fakeJobs{}, Options{RequireKey: true, KeyStore: f})
		if w := asKey(s, good, "GET", "/v1/queues", ""); w.Code != 200 {
			t.Fatalf("a good key = %d, want 200", w.Code)
		}
		refused := 0
		for range 3 * strangerBurst {
			text, _, _ := job.NewKey()
			if w := asKey(s, text, "GET", "/v1/queues", ""); w.Code == 429 {
				refused++
			} else if w.Code != 401 {
				t.Errorf("an unknown key = %d, want 401 or 429", w.Code)
			}
		}
		if refused != 2*strangerBurst || f.asked != 1+strangerBurst {
			t.Errorf("%d of %d were refused, and Postgres was asked %d times", refused, 3*strangerBurst, f.asked)
		}
		if w := asKey(s, good, "GET", "/v1/queues", ""); w.Code != 200 {
			t.Errorf("the good key afterwards = %d, want 200", w.Code)
		}
	})
}
