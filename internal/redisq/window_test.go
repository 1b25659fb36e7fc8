package redisq

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestOpenEpoch_ThrowsTheWindowAwayAndKeepsLeases(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.inUse()
		low := f.jobs(20, 21)
		low[0].Priority = 500
		_, err := f.Push(ctx, f.batch(low...))
		f.no(err)
		before := f.state()
		got, err := f.OpenEpoch(ctx, f.queue, 5, true)
		f.no(err)
		f.same("epoch", got, int64(5))
		after := f.state()
		for _, k := range []string{f.leases(), f.lost()} {
			f.same("kept "+k, after[k], before[k])
		}
		for _, k := range []string{f.high(), f.normal(), f.low(), f.bell(), f.cancelled(), f.batches()} {
			f.same(k, f.do("EXISTS", k), int64(0))
		}
		w, err := f.Census(ctx, job.Census{QueueName: f.queue, Epoch: 5, Paused: true})
		f.no(err)
		f.same("window", w, job.Window{Epoch: 5, Leased: 2, Lost: 1, Paused: true, Now: w.Now, OldestEnd: 1})
	})
}

func TestOpenEpoch_SentAgainKeepsWhatCameMeanwhile(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(8, 1)
		before := f.state()
		got, err := f.OpenEpoch(context.Background(), f.queue, 1, false)
		f.no(err)
		f.same("epoch", got, int64(1))
		f.same("state", f.state(), before)
	})
}

func TestOpenEpoch_RefusesOlderAndForeign(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		_, err := f.OpenEpoch(ctx, f.queue, 10, false) // 10 is more than 9, as a number
		f.no(err)
		got, err := f.OpenEpoch(ctx, f.queue, 9, false)
		f.same("older", []any{got, errors.Is(err, job.ErrStale)}, []any{int64(10), true})
		f.do("HSET", f.meta(), "life", "f00")
		got, err = f.OpenEpoch(ctx, f.queue, 10, false)
		f.same("other life", []any{got, errors.Is(err, job.ErrStale)}, []any{int64(10), true})
		got, err = f.OpenEpoch(ctx, f.queue, 11, false)
		f.no(err)
		f.same("newer", got, int64(11))
		f.taken11()
	})
}

// taken11 sees that the queue works in epoch 11.
func (f *fixture) taken11() {
	f.Helper()
	o := f.order("t", 1)
	o.Epoch = 11
	_, err := f.Take(context.Background(), o)
	f.no(err)
}

func TestCensus_CountsCopiesAndForgets(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		jobs := f.jobs(8, 1, 2, 3, 4, 5, 6)
		jobs[0].Priority, jobs[5].Priority, jobs[4].Priority = 1, 200, 200
		_, err := f.Push(ctx, f.batch(jobs...))
		f.no(err)
		f.pushed(9, 7)
		f.taken("t1", 2)
		f.do("ZADD", f.leases(), "XX", 12345, "2:8")
		f.do("ZADD", f.lost(), 5, "9:7")
		q := job.Census{QueueName: f.queue, Epoch: 1, KnownSeq: 2, Forget: []int64{8}}
		w, err := f.Census(ctx, q)
		f.no(err)
		if d := time.Until(time.UnixMilli(w.Now)).Abs(); d > 10*time.Second {
			t.Errorf("Now is %s away", d)
		}
		f.same("window", w, job.Window{
			Epoch: 1, Seq: 2, Waiting: [3]int64{0, 3, 2}, Leased: 2, Lost: 1, Now: w.Now, OldestEnd: 12345,
		})
		f.same("batches", f.do("HKEYS", f.batches()), []any{"9"})

		before := f.state()
		q.KnownSeq, q.Paused, q.Forget = 3, true, []int64{9}
		if _, err := f.Census(ctx, q); !errors.Is(err, job.ErrBehind) {
			t.Errorf("Census with a seq not reached = %v, want behind", err)
		}
		f.same("state", f.state(), before)
	})
}

func TestDepths_OfManyQueues(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.do("SCRIPT", "FLUSH")
		names := []string{"never-opened"}
		for i := range 20 {
			f := f.another()
			names = append(names, f.queue)
			f.pushed(8, 1, 2)
			if i%2 == 0 {
				f.do("HSET", f.meta(), "life", "f00") // looking minds neither life nor epoch
			} else {
				f.taken("t1", 1)
			}
		}
		got, err := f.Depths(ctx, names)
		f.no(err)
		f.same("queues", len(got), 21)
		for i, name := range names {
			w, want := got[name], job.Window{Now: got[name].Now, OldestEnd: got[name].OldestEnd}
			if i > 0 {
				want.Epoch, want.Seq, want.Waiting, want.Leased = 1, 1, [3]int64{0, 2 - int64((i-1)%2), 0}, int64((i-1)%2)
			}
			f.same(name, w, want)
		}
		got, err = f.Depths(ctx, nil)
		f.no(err)
		f.same("none asked", len(got), 0)
		if _, err := f.Depths(ctx, []string{"a b"}); err == nil {
			t.Error("Depths of a bad name = nil, want an error")
		}
	})
}
