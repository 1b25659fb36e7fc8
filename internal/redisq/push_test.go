package redisq

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestPush_KeepsOrderAndBands(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		jobs := f.jobs(8, 1, 2, 3, 4, 5, 6)
		for i, priority := range []int16{0, 50, 51, 150, 151, 1000} {
			jobs[i].Priority = priority
		}
		got, err := f.Push(context.Background(), f.batch(jobs...))
		f.no(err)
		if d := time.Until(time.UnixMilli(got.Now)).Abs(); d > 10*time.Second {
			t.Errorf("Now is %s away", d)
		}
		f.same("Pushed", got, job.Pushed{Seq: 1, Depth: 6, Now: got.Now})
		w, err := f.Depths(context.Background(), []string{f.queue})
		f.no(err)
		f.same("bands", w[f.queue].Waiting, [3]int64{2, 2, 2})

		next := f.jobs(9, 7, 8)
		next[0].Priority = 0
		got, err = f.Push(context.Background(), f.batch(next...))
		f.no(err)
		f.same("second Pushed", got, job.Pushed{Seq: 2, Depth: 8, Now: got.Now})
		f.same("order", f.taken("t1", 100), []int64{1, 2, 7, 3, 4, 8, 5, 6})
	})
}

func TestPush_PutsLostJobsAtTheTakingEnd(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(8, 1, 2)
		jobs := f.jobs(9, 3, 4, 5, 6)
		jobs[1].LostCount, jobs[2].LostCount = 1, 2
		_, err := f.Push(context.Background(), f.batch(jobs...))
		f.no(err)
		f.same("order", f.taken("t1", 10), []int64{4, 5, 1, 2, 3, 6})
	})
}

func TestPush_IsAcceptedOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		p := f.batch(f.jobs(8, 1, 2)...)
		first, err := f.Push(context.Background(), p)
		f.no(err)
		f.pushed(9, 3)
		f.taken("t1", 1)
		p.Deadline = 1 // too late is no matter for what is in already
		again, err := f.Push(context.Background(), p)
		f.no(err)
		f.same("again", again, job.Pushed{Seq: first.Seq, Depth: 2, Now: again.Now, Dup: true})
		f.same("order", f.taken("t2", 10), []int64{2, 3})
	})
}

func TestPush_ForgetsBatches(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(7, 1)
		f.pushed(8, 2)
		p := f.batch(f.jobs(9, 3)...)
		p.Forget = []int64{7, 8, 12345}
		for range 2500 {
			p.Forget = append(p.Forget, job.NewDispatchID())
		}
		got, err := f.Push(context.Background(), p)
		f.no(err)
		f.same("seq", got.Seq, int64(3))
		f.same("batches", f.do("HKEYS", f.batches()), []any{"9"})
	})
}

func TestPush_IsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(7, 1)
		for what, c := range map[string]struct {
			change func(*job.Push)
			want   error
		}{
			"behind":        {func(p *job.Push) { p.KnownSeq = 2 }, job.ErrBehind},
			"late":          {func(p *job.Push) { p.Deadline = time.Now().Add(-time.Minute).UnixMilli() }, job.ErrLate},
			"stale":         {func(p *job.Push) { p.Epoch = 2 }, job.ErrStale},
			"behind before": {func(p *job.Push) { p.KnownSeq, p.Deadline = 2, 1 }, job.ErrBehind},
		} {
			p := f.batch(f.jobs(8, 2, 3)...)
			p.Forget = []int64{7}
			c.change(&p)
			before := f.state()
			if _, err := f.Push(context.Background(), p); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", what, err, c.want)
			}
			f.same(what+" changed something", f.state(), before)
		}
		p := f.batch(f.jobs(8, 2)...)
		p.KnownSeq = 1 // as many as it has
		_, err := f.Push(context.Background(), p)
		f.no(err)
	})
}

func TestPush_RefusesABatchThatIsNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newServer(t))
	before := f.state()
	bad := func(change func(*job.Push)) job.Push {
		p := f.batch(f.jobs(8, 1)...)
		change(&p)
		return p
	}
	for what, p := range map[string]job.Push{
		"501 jobs":       f.batch(f.jobs(8, make([]int64, job.MaxBatch+1)...)...),
		"other queue":    bad(func(p *job.Push) { p.QueueName = "other" }),
		"other dispatch": bad(func(p *job.Push) { p.DispatchID = 9 }),
		"bad name":       bad(func(p *job.Push) { p.QueueName, p.Jobs[0].QueueName = "a{b}", "a{b}" }),
		"year 12000":     bad(func(p *job.Push) { p.Jobs[0].RunAt = p.Jobs[0].RunAt.AddDate(10000, 0, 0) }),
	} {
		if _, err := f.Push(context.Background(), p); err == nil || errors.Is(err, job.ErrUnavailable) {
			t.Errorf("%s: %v, want a plain error", what, err)
		}
	}
	got, err := f.Push(context.Background(), f.batch())
	f.no(err)
	f.same("empty batch", got, job.Pushed{})
	f.same("state", f.state(), before)
}

func TestPush_RingsTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		for _, c := range []struct{ jobs, tokens int }{{1, 1}, {2, 2}, {63, 63}, {64, 64}, {65, 64}, {500, 64}} {
			f := f.another()
			ids := make([]int64, c.jobs)
			for i := range ids {
				ids[i] = int64(i + 1)
			}
			f.pushed(8, ids...)
			f.same("tokens", f.do("LLEN", f.bell()), int64(c.tokens))
			f.pushed(9, 1000)
			f.same("tokens after one more", f.do("LLEN", f.bell()), int64(c.tokens))
		}
	})
}

func TestPush_GoesOnWhilePausedInSilence(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		_, err := f.Census(ctx, job.Census{QueueName: f.queue, Epoch: 1, Paused: true})
		f.no(err)
		f.pushed(8, 1, 2)
		f.same("tokens", f.do("LLEN", f.bell()), int64(0))
		f.same("taken", f.taken("t1", 10), []int64{})
		_, err = f.Census(ctx, job.Census{QueueName: f.queue, Epoch: 1})
		f.no(err)
		f.same("tokens", f.do("LLEN", f.bell()), int64(2))
		f.same("taken", f.taken("t1", 10), []int64{1, 2})
	})
}
