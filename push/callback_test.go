package push

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// promise answers that it will call back, and keeps what it was asked.
type promise struct {
	*receiver
	got chan document
}

func newPromise(t *testing.T) promise {
	p := promise{got: make(chan document, 10)}
	p.receiver = newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var d document
		if err := json.Unmarshal(body, &d); err != nil {
			t.Error(err)
		}
		w.Header().Set(headerAsync, "true")
		w.WriteHeader(http.StatusAccepted)
		p.got <- d
	})
	return p
}

// calling is a target whose receivers may call back, and whose attempts are looked at.
func calling(t *testing.T, p promise, e job.Endpoint, store *fakeStore) *target {
	t.Helper()
	to, _ := targetAt(p.receiver, e)
	to.calls = newCalls("https://rookery.example", store, to.metrics, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { to.calls.run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return to
}

// work runs an attempt and returns where its end will be.
func work(ctx context.Context, to *target, id int64) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ended <- to.Work(ctx, &workers.Job{Envelope: job.Envelope{ID: id, DispatchID: 1000 + id, QueueName: "q", AttemptCount: 2, MaxAttempts: 25, FailureCount: 1}})
	}()
	return ended
}

func (f *fakeStore) say(id int64, s job.OpenState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.states == nil {
		f.states = map[int64]job.OpenState{}
	}
	f.states[id] = s
}

// asks waits until Postgres was asked n more times.
func (f *fakeStore) asks(t *testing.T, n int) {
	t.Helper()
	var from int
	for i := 0; ; i++ {
		f.mu.Lock()
		asked := f.asked
		f.mu.Unlock()
		if i == 0 {
			from = asked
		}
		if asked >= from+n {
			return
		}
		if i > 6000 {
			t.Fatal("nobody asks about attempts that are open")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// A request carries what is needed to call back, under the attempt's fence. While it is
// open it has its place at the gate; then it ends as Postgres says.
func TestCallback_EndsAsPostgresSays(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]job.Status{"completed": job.Completed, "failed": job.Queued, "dead": job.Dead, "cancelled": job.Cancelled, "taken back": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, store := newPromise(t), &fakeStore{}
			to := calling(t, p, p.endpoint(), store)
			before := time.Now()
			ended := work(t.Context(), to, 1)
			d := <-p.got
			if d.Callback == nil || d.Callback.URL != "https://rookery.example/v1/callback" {
				t.Fatalf("the request has callback %+v", d.Callback)
			}
			keys, _ := store.SealKeys(t.Context())
			got, err := job.OpenCallback(keys, d.Callback.Token, time.Now())
			if err != nil || got.Ref != (job.Ref{ID: 1, DispatchID: 1001}) || got.QueueName != "q" || got.AttemptCount != 2 {
				t.Errorf("the token says %+v, %v", got, err)
			}
			if left := got.ExpiresAt.Sub(before); left > job.MaxCallbackTime+time.Minute || left < job.MaxCallbackTime-time.Minute || !got.ExpiresAt.Equal(d.Callback.ExpiresAt) {
				t.Errorf("the token expires in %s, the request says at %s", left, d.Callback.ExpiresAt)
			}
			store.asks(t, 2)
			select {
			case err := <-ended:
				t.Fatalf("%s: the attempt ends with %v before anything was said", name, err)
			default:
			}
			to.gate.mu.Lock()
			if to.gate.inFlight != 1 {
				t.Errorf("%s: an open attempt has %d places at the gate, want 1", name, to.gate.inFlight)
			}
			to.gate.mu.Unlock()
			store.say(1, job.OpenState{Ended: want})
			if err := <-ended; !errors.Is(err, workers.Settled(want)) {
				t.Errorf("%s: the attempt ends with %v, want settled as %q", name, err, want)
			}
			if to.gate.inFlight != 0 || len(to.calls.open) != 0 {
				t.Errorf("%s: %d places and %d open attempts are left", name, to.gate.inFlight, len(to.calls.open))
			}
		})
	}
}

// Without a callback the attempt fails at its deadline, but never on a look from before
// it; more time is more time.
func TestCallback_DeadlineAndMoreTime(t *testing.T) {
	t.Parallel()
	p, store := newPromise(t), &fakeStore{}
	e := p.endpoint()
	e.TimeoutMS = 3000 // for the request too
	to := calling(t, p, e, store)
	late := work(t.Context(), to, 1)
	store.say(2, job.OpenState{Open: true, Extended: true, Left: time.Minute})
	more := work(t.Context(), to, 2)
	if err := <-late; err == nil || !strings.Contains(err.Error(), "did not in time") || job.OutcomeOf(job.Ref{}, err, 0, 0).Kind != job.Failed {
		t.Errorf("an attempt without a callback ends with %v, want a failure", err)
	}
	store.asks(t, 2)
	select {
	case err := <-more:
		t.Fatalf("an attempt that was given more time ends with %v", err)
	default:
	}
	store.say(2, job.OpenState{Open: true, Extended: true, Left: -time.Second})
	if err := <-more; err == nil || !strings.Contains(err.Error(), "did not in time") {
		t.Errorf("an attempt whose more time is over ends with %v", err)
	}

	// While Postgres does not answer nobody knows, and nothing is given up.
	store.say(3, job.OpenState{Ended: job.Completed})
	store.mu.Lock()
	store.err = job.ErrUnavailable
	store.mu.Unlock()
	blind := work(t.Context(), to, 3)
	<-p.got // 1
	<-p.got // 2
	<-p.got // 3
	store.asks(t, 2)
	select {
	case err := <-blind:
		t.Fatalf("with Postgres away the attempt ends with %v", err)
	default:
	}
	store.mu.Lock()
	store.err = nil
	store.mu.Unlock()
	if err := <-blind; !errors.Is(err, workers.Settled(job.Completed)) {
		t.Errorf("the attempt ends with %v, want what Postgres has", err)
	}
}

// An answer that Postgres gave before the deadline, and that came after it, does not end
// an attempt which was given more time meanwhile.
func TestCallback_SlowAnswerEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		store := &fakeStore{states: map[int64]job.OpenState{}}
		c := newCalls("https://rookery.example", store, m, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		store.slow = func() {
			store.slow = nil
			<-time.After(time.Second) // beyond the deadline
			store.states[7] = job.OpenState{Open: true, Extended: true, Left: time.Minute}
		}
		go c.run(ctx)
		ended := make(chan error, 1)
		began := time.Now()
		go func() {
			ended <- c.await(ctx, &workers.Job{Envelope: job.Envelope{ID: 7, QueueName: "q", DispatchID: 1}}, began.Add(askEvery+time.Second/2))
		}()
		<-time.After(30 * time.Second)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("an attempt that was given more time ends with %v", err)
		default:
		}
	})
}

// A worker that stops, or loses its lease, does not wait for a receiver.
func TestCallback_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, store := newPromise(t), &fakeStore{}
	to := calling(t, p, p.endpoint(), store)
	ctx, end := context.WithCancelCause(t.Context())
	ended := work(ctx, to, 1)
	<-p.got
	store.asks(t, 2)
	end(job.ErrLeaseLost)
	if err := <-ended; !errors.Is(err, job.ErrLeaseLost) {
		t.Errorf("the attempt ends with %v, want %v", err, job.ErrLeaseLost)
	}
}

// A job that cannot be given a token waits, and is not sent without one.
func TestCallback_NoKeys(t *testing.T) {
	t.Parallel()
	p := newPromise(t)
	to := calling(t, p, p.endpoint(), &fakeStore{err: job.ErrUnavailable})
	if o := outcome(t, to, 1); o.Kind != job.Snoozed || len(p.got) != 0 {
		t.Errorf("without seal keys the job is %s after %d requests, want it to wait", o.Kind, len(p.got))
	}
}
