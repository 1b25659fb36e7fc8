package pull

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// truth is Postgres with one job.
type truth struct {
	Callers
	job.Job
	was        int64 // its dispatch before it was moved
	reconciled []job.Outcome
	meanwhile  func() // before each Reconcile; nil: nothing
}

func (s *truth) Reconcile(_ context.Context, _ string, outcomes []job.Outcome) (list []job.Verdict, _ error) {
	if s.meanwhile != nil {
		s.meanwhile()
	}
	for _, o := range outcomes {
		if o.Ref.DispatchID == s.DispatchID && s.Status == job.Dispatched {
			s.reconciled = append(s.reconciled, o)
			s.Status = job.Completed
			list = append(list, job.Verdict{Ref: o.Ref, Status: s.Status})
		}
	}
	return list, nil
}

func (s *truth) LeaseStanding(_ context.Context, ref job.Ref) (job.LeaseStanding, error) {
	out := job.LeaseStanding{Job: s.Job, Ours: s.DispatchID == ref.DispatchID || s.was == ref.DispatchID, Moved: s.was == ref.DispatchID}
	if out.Ours && s.Status == job.Completed {
		out.Outcome = job.Succeeded
	}
	return out, nil
}

func (s *truth) SealKeys(context.Context) ([]job.SealKey, error) {
	return []job.SealKey{{ID: 1, Secret: make([]byte, 32), Signs: true}}, nil
}

// dropped is a lease whose worker has dropped its attempt without a word: nobody hears
// what its client says, and no verdict ever comes.
func dropped(t *testing.T, s *truth) (*Hub, job.LeaseKey) {
	t.Helper()
	h, err := New(s, nil, Options{}) // nobody is hired
	if err != nil {
		t.Fatal(err)
	}
	w := &waiter{max: 1, lease: time.Minute, filled: make(chan struct{}, 1)}
	d, err := h.enter("q", w)
	if err != nil {
		t.Fatal(err)
	}
	l := d.hand(&workers.Job{Envelope: job.Envelope{ID: 1, DispatchID: 7}})
	keys, _ := s.SealKeys(t.Context())
	return h, job.LeaseKey{ID: l.name.ID(), Token: base64.RawURLEncoding.EncodeToString(token(keys[0], l.name.ID()))}
}

// Without a verdict the fence is asked: at once when its time is up, not when the lease is
// forgotten.
func TestSettle_WithoutAVerdict(t *testing.T) {
	for _, c := range []struct {
		dispatch int64
		want     job.LeaseResult
		err      error
	}{{7, job.LeaseResult{Status: job.Completed}, nil}, {8, job.LeaseResult{}, job.ErrLeaseLost}} {
		t.Run(fmt.Sprint(c.dispatch), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &truth{Job: job.Job{ID: 1, DispatchID: c.dispatch, Status: job.Dispatched}}
				h, key := dropped(t, s)
				for range 2 { // sent again it has the same answer
					sent := time.Now()
					got, err := h.Settle(t.Context(), job.LeaseOp{Verb: job.LeaseAck, LeaseKey: key})
					if got != c.want || !errors.Is(err, c.err) {
						t.Errorf("ack = %+v, %v, want %+v, %v", got, err, c.want, c.err)
					}
					if took := time.Since(sent); took > verdictTime {
						t.Errorf("ack was answered after %s, want %s at most", took, verdictTime)
					}
				}
				if (len(s.reconciled) == 1) != (c.err == nil) {
					t.Errorf("%d outcomes were accepted", len(s.reconciled))
				}
			})
		})
	}
}

// An ack is sent again, to another server, while the first is still writing it.
func TestSettle_SentTwiceAtOnce(t *testing.T) {
	t.Parallel()
	s := &truth{Job: job.Job{ID: 1, DispatchID: 7, Status: job.Running}}
	s.meanwhile = func() { s.Status = job.Completed }
	h, err := New(s, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	id := job.LeaseName{QueueName: "q", Ref: job.Ref{ID: 1, DispatchID: 7}, Length: time.Minute}.ID()
	keys, _ := s.SealKeys(t.Context())
	key := job.LeaseKey{ID: id, Token: base64.RawURLEncoding.EncodeToString(token(keys[0], id))}
	if got, err := h.Settle(t.Context(), job.LeaseOp{Verb: job.LeaseAck, LeaseKey: key}); err != nil || got.Status != job.Completed {
		t.Errorf("ack = %+v, %v, want completed", got, err)
	}
	if _, err := h.Settle(t.Context(), job.LeaseOp{Verb: job.LeaseRelease, LeaseKey: key}); !errors.Is(err, job.ErrLeaseLost) {
		t.Errorf("release after it = %v, want %v", err, job.ErrLeaseLost)
	}
}

// The server that holds an attempt moves it to Postgres while another one writes its ack.
func TestSettle_MovedMeanwhile(t *testing.T) {
	t.Parallel()
	s := &truth{Job: job.Job{ID: 1, DispatchID: 7, Status: job.Dispatched}}
	s.meanwhile = func() { s.DispatchID, s.was = 9, 7 }
	h, err := New(s, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	id := job.LeaseName{QueueName: "q", Ref: job.Ref{ID: 1, DispatchID: 7}, Length: time.Minute}.ID()
	keys, _ := s.SealKeys(t.Context())
	got, err := h.Settle(t.Context(), job.LeaseOp{Verb: job.LeaseAck, LeaseKey: job.LeaseKey{ID: id, Token: base64.RawURLEncoding.EncodeToString(token(keys[0], id))}})
	if err != nil || got.Status != job.Completed || len(s.reconciled) != 1 || s.reconciled[0].Ref.DispatchID != 9 {
		t.Errorf("ack = %+v, %v with %+v, want completed, under the dispatch that it has now", got, err, s.reconciled)
	}
}

// One of two holders moves the attempt to Postgres while the other writes, under the fence
// from before, what its client says: that is not over, and is told under the fence it has.
func TestSettle_RefusedHereIsAskedOnce(t *testing.T) {
	for _, verb := range []job.LeaseVerb{job.LeaseAck, job.LeaseNack, job.LeaseRelease} {
		synctest.Test(t, func(t *testing.T) {
			s := &truth{Job: job.Job{ID: 1, DispatchID: 9, Status: job.Dispatched}, was: 7}
			h, key := dropped(t, s)
			go func() {
				<-time.After(time.Second)
				h.mu.Lock()
				j := h.leases[job.Ref{ID: 1, DispatchID: 7}].job
				h.mu.Unlock()
				h.judge(j, "")
			}()
			if _, err := h.Settle(t.Context(), job.LeaseOp{Verb: verb, LeaseKey: key}); err != nil || len(s.reconciled) != 1 {
				t.Errorf("%s = %v, and %d outcomes were accepted, want one", verb, err, len(s.reconciled))
			}
		})
	}
}

// A hub that nobody runs says so, and holds up nobody for long.
func TestHub_IsNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(&truth{Job: job.Job{ID: 1, DispatchID: 7, Status: job.Dispatched}}, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		if _, err := h.Lease(t.Context(), job.LeaseRequest{QueueName: "q", Max: 1, Wait: 30 * time.Second, Lease: time.Minute}); !errors.Is(err, job.ErrNotRun) {
			t.Errorf("Lease = %v, want %v", err, job.ErrNotRun)
		}
		if took := time.Since(sent); took > runTime {
			t.Errorf("Lease took %s, want %s at most", took, runTime)
		}
		if len(h.desks) != 0 || h.waiters != 0 {
			t.Errorf("%d desks and %d waiters are left", len(h.desks), h.waiters)
		}
	})
}
