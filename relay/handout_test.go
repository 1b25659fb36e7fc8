package relay_test

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// split is a cluster of two: queue "far" is on another server than all others.
type split struct{ near, far relay.Redis }

func (s split) of(queue string) relay.Redis {
	if queue == "far" {
		return s.far
	}
	return s.near
}

func (s split) Push(ctx context.Context, p job.Push) (job.Pushed, error) {
	return s.of(p.QueueName).Push(ctx, p)
}

func (s split) OpenEpoch(ctx context.Context, queue string, epoch int64, paused bool) (int64, error) {
	return s.of(queue).OpenEpoch(ctx, queue, epoch, paused)
}

func (s split) Census(ctx context.Context, c job.Census) (job.Window, error) {
	return s.of(c.QueueName).Census(ctx, c)
}

func (s split) Cancel(ctx context.Context, queue string, epoch int64, refs []job.Ref) error {
	return s.of(queue).Cancel(ctx, queue, epoch, refs)
}

func (s split) Expired(ctx context.Context, queue string, epoch, deadline int64, limit int) ([]job.LostAttempt, error) {
	return s.of(queue).Expired(ctx, queue, epoch, deadline, limit)
}

func (s split) Missing(ctx context.Context, queue string, epoch int64, refs []job.Ref) ([]job.LostAttempt, error) {
	return s.of(queue).Missing(ctx, queue, epoch, refs)
}

func (s split) Drop(ctx context.Context, queue string, epoch int64, refs []job.Ref) error {
	return s.of(queue).Drop(ctx, queue, epoch, refs)
}

func (s split) Absent(ctx context.Context, queue string, epoch int64, refs []job.Ref) ([]job.Ref, int64, error) {
	return s.of(queue).Absent(ctx, queue, epoch, refs)
}

func (s split) Waiting(ctx context.Context, queue string, epoch int64, band job.Band, from int) ([]job.Ref, int, error) {
	return s.of(queue).Waiting(ctx, queue, epoch, band, from)
}

func (s split) Entomb(ctx context.Context, queue string, epoch int64, refs []job.Ref) ([]job.Ref, error) {
	return s.of(queue).Entomb(ctx, queue, epoch, refs)
}

func (s split) Noted(ctx context.Context, queue string, epoch, upTo int64, cursor uint64) ([]int64, uint64, error) {
	return s.of(queue).Noted(ctx, queue, epoch, upTo, cursor)
}

// A push that does not return, whatever its deadline, keeps no other queue waiting.
func TestHandOut_HangingPushIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var hangs atomic.Bool
	entered, release := make(chan struct{}, 100), make(chan struct{})
	f := &faultyRedis{Redis: h.redis, push: func(p job.Push, next func() (job.Pushed, error)) (job.Pushed, error) {
		if p.QueueName == "far" && hangs.Load() {
			entered <- struct{}{}
			<-release
		}
		return next()
	}}
	// No recovery: its push of the same batch would hang too, and for ever.
	h.start(t, wiring{redis: f, store: &noRecovery{Store: h.store}})
	h.insert(t, "far", 1)
	h.insert(t, "q", 1)
	h.await(t, 2, "both open", dispatched)
	hangs.Store(true)
	h.insert(t, "far", 1)
	<-entered
	h.insert(t, "far", 5) // and no second dispatch of that queue meanwhile
	for n := range 10 {
		h.insert(t, "q", 1)
		h.await(t, int64(n+2), "dispatched beside it", dispatched+` AND queue_name = 'q'`)
	}
	if n := h.count(t, dispatched+` AND queue_name = 'far'`); n != 2 || len(entered) != 0 {
		t.Errorf("%d jobs of the hanging queue are dispatched, want 2", n)
	}
	hangs.Store(false)
	close(release)
	h.await(t, 7, "the rest, when it goes on", dispatched+` AND queue_name = 'far'`)
	h.await(t, 0, "recorded", unrecorded)
	h.onceEach(t, "far", 7)
	h.onceEach(t, "q", 11)
}

// One of two servers stands still. The other's queue is dispatched to, recovered and
// cancelled in as ever, though the oldest rows of the ledger are all of the first.
func TestHandOut_OneServerOfTwoStandsStill(t *testing.T) {
	t.Parallel()
	h, other := newHouse(t), devtest.RedisServer(t)
	far, err := (redisq.Options{SealKeys: h.store.SealKeys}).Open(t.Context(), other.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	both := split{near: h.redis, far: far}
	_, stop := h.start(t, wiring{redis: both})
	h.insert(t, "far", 1)
	h.insert(t, "q", 1)
	h.await(t, 2, "both open", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	stop()

	// Claimed by a relay that died: 30 batches of the one, then one of the other.
	for _, queue := range []string{"far", "q"} {
		n := map[string]int{"far": 30, "q": 1}[queue]
		h.insert(t, queue, n)
		for range n {
			c := job.Claim{QueueName: queue, Epoch: 1, RelayID: "gone", DispatchID: job.NewDispatchID(), Limit: 1, Spans: []job.Span{{LoPriority: -2, HiPriority: job.MaxPriority}}}
			if b, err := h.store.Claim(t.Context(), c); err != nil || len(b.Jobs) != 1 {
				t.Fatalf("Claim = %d jobs, %v", len(b.Jobs), err)
			}
		}
	}
	h.exec(t, `UPDATE outbox.dispatches SET created_at = created_at - interval '1 minute', taken_at = taken_at - interval '1 minute'`)
	_, stop = h.start(t, wiring{redis: both, store: &noRecovery{Store: h.store}}) // knows both, and then the one stands still
	h.await(t, 1, "it beats", `SELECT count(*) FROM outbox.processes WHERE role = 'relay'`)
	stop()
	if err := other.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Signal(syscall.SIGCONT) })
	h.start(t, wiring{redis: both})
	h.exec(t, `SELECT outbox.cancel(min(id)) FROM outbox.jobs GROUP BY queue_name`)
	h.await(t, 0, "the batch of the other recovered", unrecorded+` AND queue_name = 'q'`)
	h.await(t, 0, "its order carried", `SELECT count(*) FROM outbox.cancels WHERE queue_name = 'q'`)
	for n := range 10 {
		h.insert(t, "q", 1)
		h.insert(t, "far", 1)
		h.await(t, int64(n+2), "dispatched to it", dispatched+` AND queue_name = 'q'`)
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.dispatches WHERE relay_id = 'gone' AND queue_name = 'far'`); n != 30 {
		t.Errorf("%d batches of the standing server are left as they were, want 30: taken over, they would fill every turn", n)
	}
	if err := other.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.await(t, 0, "everything recovered when it goes on", unrecorded)
	h.await(t, 40, "and dispatched", dispatched+` AND queue_name = 'far'`)
	h.await(t, 0, "recorded", unrecorded)
	w, err := far.Depths(t.Context(), []string{"far"})
	if err != nil || w["far"].Depth() != 41 { // 30, 10, and the cancelled one of the beginning
		t.Errorf("the window has %d jobs, %v; want 41", w["far"].Depth(), err)
	}
}
