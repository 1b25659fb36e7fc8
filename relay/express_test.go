package relay_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

func TestExpress_HandsOverAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r, _ := h.start(t, wiring{})
	high, normal := 5, 100
	spec := func(priority *int) job.Spec {
		return job.Spec{QueueName: "q", Payload: []byte(`{}`), Priority: priority}
	}
	if _, handled, err := r.Express(t.Context(), spec(&high)); handled || err != nil {
		t.Fatalf("Express to an unknown queue = %v, %v; want not handled", handled, err)
	}
	h.exec(t, `INSERT INTO outbox.queues (name, window_size) VALUES ('q', 100)`)
	h.insert(t, "q", 1)
	h.await(t, 1, "the queue open", dispatched)
	id, handled, err := r.Express(t.Context(), spec(&high))
	if err != nil || !handled || id == 0 {
		t.Fatalf("Express = %d, %v, %v; want handled", id, handled, err)
	}
	if got := h.copies(t, "q"); len(got) != 2 || got[0].ID != id {
		t.Fatalf("window = %+v, want job %d first at once", got, id)
	}
	h.insert(t, "q", 200)
	h.await(t, 90, "the window but for its reserve", dispatched)
	h.await(t, 0, "pushed and recorded", unrecorded)
	if _, handled, err = r.Express(t.Context(), spec(&normal)); handled || err != nil {
		t.Errorf("Express of an ordinary job into the reserve = %v, %v; want not handled", handled, err)
	}
	if _, handled, err = r.Express(t.Context(), spec(&high)); !handled || err != nil {
		t.Errorf("Express of an urgent job into the reserve = %v, %v; want handled", handled, err)
	}
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority) SELECT 'q', '{}', 5 FROM generate_series(1, 20)`)
	// 101 when the relay was about to claim by the depth before the push above (G6).
	h.await(t, 100, "the window full", `SELECT least(count(*), 100) FROM outbox.jobs WHERE status = 'dispatched'`)
	h.await(t, 0, "recorded", unrecorded)
	before := h.count(t, `SELECT count(*) FROM outbox.jobs`)
	if _, handled, err = r.Express(t.Context(), spec(&high)); handled || err != nil {
		t.Errorf("Express into a full window = %v, %v; want not handled", handled, err)
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs`); n != before {
		t.Errorf("a job that was not handled was inserted all the same")
	}
}

func TestExpress_CrashAfterCommitIsRecovered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	var died atomic.Bool
	f := &faultyRedis{Redis: h.redis, push: func(_ job.Push, next func() (job.Pushed, error)) (job.Pushed, error) {
		if died.Load() {
			return job.Pushed{}, job.ErrUnavailable
		}
		return next()
	}}
	r, _ := h.start(t, wiring{redis: f, store: &noRecovery{Store: h.store}, Options: relay.Options{Failpoint: func(name string) {
		if name == "relay.after_express" {
			died.Store(true)
			cancel()
		}
	}}})
	h.insert(t, "q", 1)
	h.take(t, "q", 1)
	high := 0
	id, handled, err := r.Express(ctx, job.Spec{QueueName: "q", Payload: []byte(`{}`), Priority: &high})
	if !died.Load() || !handled || err != nil {
		t.Fatalf("Express = %d, %v, %v; want handled: the job is committed", id, handled, err)
	}
	h.start(t, wiring{})
	got := h.take(t, "q", 1)
	if got[0].ID != id || got[0].AttemptCount != 1 {
		t.Errorf("recovered %+v, want job %d in its first attempt", got[0], id)
	}
	h.await(t, 0, "recorded", unrecorded)
	h.onceEach(t, "q", 0)
}

// A caller who hangs up must not pass for a Redis that does not answer.
func TestExpress_CallerWhoHangsUpStopsNobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := h.start(t, wiring{Options: relay.Options{Failpoint: func(name string) {
		if name == "relay.after_express" {
			cancel()
		}
	}}})
	h.insert(t, "q", 1)
	h.take(t, "q", 1)
	high := 0
	id, handled, err := r.Express(ctx, job.Spec{QueueName: "q", Payload: []byte(`{}`), Priority: &high})
	if !handled || err != nil {
		t.Fatalf("Express = %v, %v; want handled", handled, err)
	}
	if got := h.copies(t, "q"); len(got) != 1 || got[0].ID != id {
		t.Errorf("window = %+v, want job %d at once", got, id)
	}
}
