package relay_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// window is a Redis with both its sides, the relay's and the worker's.
type window interface {
	relay.Redis
	Take(ctx context.Context, t job.Take) (job.Taken, error)
	Beat(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (gone, cancelled []job.Ref, err error)
}

// TestWindow_Conformance holds the real window and the fake to the same words.
func TestWindow_Conformance(t *testing.T) {
	t.Parallel()
	makers := map[string]func(*testing.T) (w window, restart func()){
		"redis": func(t *testing.T) (window, func()) {
			server := devtest.RedisServer(t, "--appendonly", "yes", "--appendfsync", "always")
			c, err := (redisq.Options{SealKeys: devtest.SealKeys}).Open(t.Context(), server.URL())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c, func() {
				if err := server.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		},
		"fake": func(*testing.T) (window, func()) {
			f := newFakeWindow()
			return f, func() { f.set(func() { f.process++ }) }
		},
	}
	for name, make := range makers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, restart := make(t)
			c := &conformance{T: t, w: w, restart: restart}
			c.opens()
			c.pushes()
			c.takesBack()
			c.cancels()
			c.inspects()
			c.anotherLife()
		})
	}
}

// conformance is one run of the suite: its steps build on each other.
type conformance struct {
	*testing.T
	w       window
	restart func()
}

func (c *conformance) is(what string, got, want error) {
	c.Helper()
	if !errors.Is(got, want) {
		c.Errorf("%s = %v, want %v", what, got, want)
	}
}

func (c *conformance) census(epoch, seq int64) job.Window {
	c.Helper()
	w, err := c.w.Census(c.Context(), job.Census{QueueName: "q", Epoch: epoch, KnownSeq: seq})
	if err != nil {
		c.Fatalf("Census(epoch %d, seq %d) = %v", epoch, seq, err)
	}
	return w
}

func (c *conformance) push(id, epoch, deadline, seq int64, jobs ...job.Envelope) (job.Pushed, error) {
	for i := range jobs {
		jobs[i].DispatchID, jobs[i].QueueName = id, "q"
		jobs[i].CreatedAt, jobs[i].RunAt, jobs[i].DispatchedAt = time.Unix(1, 0), time.Unix(1, 0), time.Unix(1, 0)
	}
	return c.w.Push(c.Context(), job.Push{Batch: job.Batch{QueueName: "q", DispatchID: id, Epoch: epoch, Jobs: jobs}, Deadline: deadline, KnownSeq: seq})
}

func (c *conformance) take(n int, lease time.Duration) (ids []int64) {
	c.Helper()
	got, err := c.w.Take(c.Context(), job.Take{QueueName: "q", Epoch: 3, WorkerID: "w", Token: time.Now().String(), Limit: n, Lease: lease})
	if err != nil {
		c.Fatalf("Take = %v", err)
	}
	for _, e := range got.Jobs {
		ids = append(ids, e.ID)
	}
	return ids
}

func (c *conformance) opens() {
	_, err := c.w.Census(c.Context(), job.Census{QueueName: "q", Epoch: 0})
	c.is("Census of a queue never opened", err, job.ErrStale)
	for _, step := range []struct {
		epoch, held int64
		want        error
	}{{2, 2, nil}, {2, 2, nil}, {3, 3, nil}, {2, 3, job.ErrStale}} {
		held, err := c.w.OpenEpoch(c.Context(), "q", step.epoch, false)
		if c.is("OpenEpoch", err, step.want); held != step.held {
			c.Errorf("OpenEpoch(%d) holds %d, want %d", step.epoch, held, step.held)
		}
	}
	_, err = c.w.Census(c.Context(), job.Census{QueueName: "q", Epoch: 2})
	var stale *job.StaleError
	if !errors.As(err, &stale) || stale.Epoch != 3 {
		c.Errorf("Census of an ended epoch = %v, want stale, with epoch 3", err)
	}
}

func (c *conformance) pushes() {
	now := c.census(3, 0).Now
	soon := now + 10_000
	_, err := c.push(10, 2, soon, 0, job.Envelope{ID: 1})
	c.is("push in an ended epoch", err, job.ErrStale)
	_, err = c.push(10, 3, soon, 1, job.Envelope{ID: 1})
	c.is("push that knows more", err, job.ErrBehind)
	_, err = c.push(10, 3, now-1, 0, job.Envelope{ID: 1})
	c.is("push after its deadline", err, job.ErrLate)
	if w := c.census(3, 0); w.Depth() != 0 || w.Seq != 0 {
		c.Errorf("refused pushes left %+v", w)
	}
	first, err := c.push(10, 3, soon, 0, job.Envelope{ID: 1, Priority: 100}, job.Envelope{ID: 2, Priority: 200}, job.Envelope{ID: 3, Priority: 100}, job.Envelope{ID: 4, Priority: 0})
	if err != nil || first.Seq != 1 || first.Depth != 4 || first.Dup || first.Now < now {
		c.Errorf("push = %+v, %v; want seq 1, depth 4", first, err)
	}
	second, err := c.push(11, 3, soon, 1, job.Envelope{ID: 5, Priority: 100, LostCount: 1})
	if err != nil || second.Seq != 2 || second.Depth != 5 {
		c.Errorf("push = %+v, %v; want seq 2, depth 5", second, err)
	}
	again, err := c.push(10, 3, now-1, 0, job.Envelope{ID: 1, Priority: 100})
	if err != nil || again.Seq != 1 || !again.Dup || again.Depth != 5 {
		c.Errorf("the same push again, late = %+v, %v; want a dup of seq 1, depth 5", again, err)
	}
	_, err = c.w.Census(c.Context(), job.Census{QueueName: "q", Epoch: 3, KnownSeq: 3})
	c.is("Census that knows more", err, job.ErrBehind)
	if diff := cmp.Diff([3]int64{1, 3, 1}, c.census(3, 2).Waiting); diff != "" {
		c.Errorf("waiting by band (-want +got):\n%s", diff)
	}
	// A forgotten batch is unknown: only its deadline keeps it out.
	if _, err := c.w.Census(c.Context(), job.Census{QueueName: "q", Epoch: 3, Forget: []int64{10}}); err != nil {
		c.Errorf("Census that forgets = %v", err)
	}
	_, err = c.push(10, 3, now-1, 0, job.Envelope{ID: 1, Priority: 100})
	c.is("push of a forgotten batch", err, job.ErrLate)
}

func (c *conformance) takesBack() {
	if diff := cmp.Diff([]int64{4, 5, 1}, c.take(3, time.Millisecond)); diff != "" {
		c.Errorf("taken (-want +got):\n%s", diff)
	}
	lost := map[job.Ref]bool{}
	devtest.Until(c, patience, "three ended leases", func() (bool, error) {
		got, err := c.w.Expired(c.Context(), "q", 3, job.NoDeadline, 2)
		if len(got) > 2 {
			c.Errorf("Expired(limit 2) = %d attempts", len(got))
		}
		for _, a := range got {
			lost[a.Ref] = true
			if !a.Counts {
				c.Errorf("ended lease %v does not count", a.Ref)
			}
		}
		if len(got) == 2 && len(lost) == 2 { // the third waits behind them
			err = errors.Join(err, c.w.Drop(c.Context(), "q", 3, []job.Ref{got[0].Ref, got[1].Ref}))
		}
		return len(lost) == 3, err
	})
	got, err := c.w.Expired(c.Context(), "q", 3, job.NoDeadline, 100)
	if err != nil || len(got) != 1 {
		c.Fatalf("Expired after a crash = %v, %v; want the one nobody dropped", got, err)
	}
	third := got[0].Ref
	gone, _, err := c.w.Beat(c.Context(), "q", 3, time.Minute, []job.Ref{third})
	if err != nil || !slices.Equal(gone, []job.Ref{third}) {
		c.Errorf("Beat of what is being taken back = %v, %v; want it gone", gone, err)
	}
	if diff := cmp.Diff([]int64{3}, c.take(1, time.Minute)); diff != "" {
		c.Errorf("taken (-want +got):\n%s", diff)
	}
	held, nobodys := job.Ref{ID: 3, DispatchID: 10}, job.Ref{ID: 77, DispatchID: 7}
	missing, err := c.w.Missing(c.Context(), "q", 3, []job.Ref{held, nobodys, third})
	want := []job.LostAttempt{{Ref: nobodys}, {Ref: third, Counts: true}}
	if diff := cmp.Diff(want, missing); diff != "" || err != nil {
		c.Errorf("Missing, %v (-want +got):\n%s", err, diff)
	}
	_, err = c.w.Expired(c.Context(), "q", 2, job.NoDeadline, 100)
	c.is("Expired in an ended epoch", err, job.ErrStale)
	_, err = c.w.Missing(c.Context(), "q", 2, []job.Ref{held})
	c.is("Missing in an ended epoch", err, job.ErrStale)
	c.is("Drop in an ended epoch", c.w.Drop(c.Context(), "q", 2, []job.Ref{held}), job.ErrStale)
	if err := c.w.Drop(c.Context(), "q", 3, []job.Ref{nobodys, third}); err != nil {
		c.Errorf("Drop = %v", err)
	}
	if w := c.census(3, 2); w.Leased != 1 || w.Lost != 0 {
		c.Errorf("after Drop: %+v, want one lease and nothing lost", w)
	}
}

func (c *conformance) cancels() {
	held, waiting := job.Ref{ID: 3, DispatchID: 10}, job.Ref{ID: 2, DispatchID: 10}
	c.is("Cancel in an ended epoch", c.w.Cancel(c.Context(), "q", 2, []job.Ref{held}), job.ErrStale)
	for range 2 {
		if err := c.w.Cancel(c.Context(), "q", 3, []job.Ref{held, waiting}); err != nil {
			c.Errorf("Cancel = %v", err)
		}
	}
	if got := c.take(10, time.Minute); len(got) != 0 {
		c.Errorf("taken = %v, want nothing: it was called off", got)
	}
	gone, off, err := c.w.Beat(c.Context(), "q", 3, time.Minute, []job.Ref{held})
	if err != nil || len(gone) != 0 || !slices.Equal(off, []job.Ref{held}) {
		c.Errorf("Beat of what was called off = %v, %v, %v", gone, off, err)
	}
}

func (c *conformance) anotherLife() {
	c.restart()
	soon := time.Now().Add(time.Minute).UnixMilli()
	_, err := c.push(12, 3, soon, 0, job.Envelope{ID: 9})
	c.is("push to another life", err, job.ErrStale)
	held, err := c.w.OpenEpoch(c.Context(), "q", 3, false)
	if c.is("OpenEpoch of the epoch of another life", err, job.ErrStale); held != 3 {
		c.Errorf("OpenEpoch holds %d, want 3", held)
	}
	if _, err = c.w.OpenEpoch(c.Context(), "q", 4, true); err != nil {
		c.Errorf("OpenEpoch(4) = %v", err)
	}
	w, err := c.w.Census(c.Context(), job.Census{QueueName: "q", Epoch: 4, Paused: true})
	if err != nil || w.Depth() != 0 || w.Seq != 0 || w.Leased != 1 || !w.Paused {
		c.Errorf("a new epoch has %+v, %v; want an empty window, the lease kept, paused", w, err)
	}
}
