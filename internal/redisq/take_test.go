package redisq

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func newServer(t testing.TB) string { return devtest.Redis(t) }

func TestTake_HandsOverWhatWasPushed(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		jobs := f.jobs(9007199254740991, 1, 2, 3)
		jobs[0].Headers = []byte(`{"traceparent":"00-1"}`)
		jobs[1].Payload = nil
		_, err := f.Push(context.Background(), f.batch(jobs...))
		f.no(err)
		before := time.Now()
		got, err := f.Take(context.Background(), f.order("t1", 2))
		f.no(err)
		f.same("taken", got, job.Taken{Jobs: jobs[:2], More: true})
		for _, e := range got.Jobs {
			until, leased, err := f.LeaseOf(context.Background(), f.queue, e.Ref())
			f.no(err)
			if d := until.Sub(before); !leased || d < job.Lease-time.Second || d > job.Lease+10*time.Second {
				t.Errorf("LeaseOf(%v) = %s from now, %t", e.Ref(), d, leased)
			}
		}
		got, err = f.Take(context.Background(), f.order("t2", 2))
		f.no(err)
		f.same("the rest", got, job.Taken{Jobs: jobs[2:]})
		got, err = f.Take(context.Background(), f.order("t3", 2))
		f.no(err)
		f.same("nothing", got, job.Taken{Jobs: []job.Envelope{}})
		_, leased, err := f.LeaseOf(context.Background(), f.queue, job.Ref{ID: 77, DispatchID: 1})
		f.no(err)
		f.same("lease of nobody", leased, false)
	})
}

func TestTake_TakesFiveHundred(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		jobs := f.full(1, 100)
		for i := range jobs {
			jobs[i].Priority = int16(i % 3 * 100)
		}
		_, err := f.Push(context.Background(), f.batch(jobs...))
		f.no(err)
		got, err := f.Take(context.Background(), f.order("t1", job.MaxBatch))
		f.no(err)
		f.same("jobs and more", []any{len(got.Jobs), got.More}, []any{500, false})
		again, err := f.Take(context.Background(), f.order("t1", job.MaxBatch))
		f.no(err)
		f.same("again", again, got)
		refs := job.Batch{Jobs: got.Jobs}.Refs()
		gone, off, err := f.Beat(context.Background(), f.queue, 1, job.Lease, refs)
		f.no(err)
		f.same("beat", []int{len(gone), len(off)}, []int{0, 0})
		f.no(f.Release(context.Background(), f.queue, 1, got.Jobs))
		back, err := f.Take(context.Background(), f.order("t2", job.MaxBatch))
		f.no(err)
		f.same("released and taken again", back, got)
		f.no(f.Ack(context.Background(), f.queue, 1, refs))
		f.same("leases", f.do("ZCARD", f.leases()), int64(0))
	})
}

func TestHole19_SameTokenAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.pushed(8, 1, 2, 3, 4, 5, 6)
		first, err := f.Take(ctx, f.order("t1", 4))
		f.no(err)
		f.do("ZADD", f.leases(), "XX", 17, "1:8")
		again, err := f.Take(ctx, f.order("t1", 4))
		f.no(err)
		f.same("again", again, first)
		until, _, err := f.LeaseOf(ctx, f.queue, job.Ref{ID: 1, DispatchID: 8})
		f.no(err)
		if time.Until(until) < job.Lease/2 {
			t.Errorf("lease ends %s, want it renewed", until)
		}

		f.no(f.Ack(ctx, f.queue, 1, refs(8, 2)))
		f.do("ZREM", f.leases(), "4:8") // reaped
		f.same("still leased", f.taken("t1", 4), []int64{1, 3})

		other := f.order("t1", 4) // another worker's token is another token
		other.WorkerID = "w2"
		got, err := f.Take(ctx, other)
		f.no(err)
		f.same("other worker", idsOf(got.Jobs), []int64{5, 6})
		f.same("next token", f.taken("t2", 4), []int64{})
		ttl := f.do("PTTL", f.receipt("w1")).(int64)
		if ttl <= 0 || ttl > receiptLife.Milliseconds() {
			t.Errorf("receipt lives %d ms, want up to %d", ttl, receiptLife.Milliseconds())
		}
	})
}

func TestTake_SameTokenInANewEpochAndWhilePaused(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(8, 1, 2)
		f.same("taken", f.taken("t1", 1), []int64{1})
		_, err := f.OpenEpoch(context.Background(), f.queue, 2, true)
		f.no(err)
		order := f.order("t1", 1)
		order.Epoch, order.TokenEpoch = 2, 1
		got, err := f.Take(context.Background(), order)
		f.no(err)
		f.same("again", got, job.Taken{Jobs: f.jobs(8, 1)})
	})
}

func TestHole19_DropsCopiesThatMustNotRun(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(8, 1, 2, 3, 4, 5, 6)
		f.do("ZADD", f.leases(), 1e15, "1:8")
		f.do("ZADD", f.lost(), 5, "2:8")
		f.no(f.Cancel(context.Background(), f.queue, 1, refs(8, 3)))
		copied := f.do("LINDEX", f.normal(), -4) // job 4 a second time
		f.do("RPUSH", f.normal(), copied)
		f.same("others in their place", f.taken("t1", 2), []int64{4, 5})
		f.same("rest", f.taken("t2", 10), []int64{6})
		f.same("lease of another is untouched", f.do("ZSCORE", f.leases(), "1:8"), any(1e15))
		f.same("lost", f.do("ZSCORE", f.lost(), "2:8"), any(5.0))
		f.same("leases", f.do("ZCARD", f.leases()), int64(4))
	})
}

func TestTake_DoesNotSearchForEver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newServer(t))
	for d := range int64(4) {
		jobs := f.full(d+1, 10)
		_, err := f.Push(context.Background(), f.batch(jobs...))
		f.no(err)
		f.no(f.Cancel(context.Background(), f.queue, 1, job.Batch{Jobs: jobs}.Refs()))
	}
	for i, want := range []int64{1499, 998, 497} {
		got, err := f.Take(context.Background(), f.order("t"+strconv.Itoa(i), 1))
		f.no(err)
		f.same("jobs, more and waiting", []any{len(got.Jobs), got.More, f.do("LLEN", f.normal())}, []any{0, true, want})
	}
}

func TestTake_DropsGarbageAndReportsForged(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(8, 1)
		for _, text := range []string{"hello", "", `{"dispatch_id":1,"id":2}`, `{"id":5,"dispatch_id":6,"v":1,`, `{"id":99999999999999999999,"dispatch_id":1}`} {
			f.do("LPUSH", f.normal(), text)
		}
		f.pushed(9, 2)
		got, err := f.Take(context.Background(), f.order("t1", 10))
		f.no(err)
		f.same("taken", got, job.Taken{
			Jobs:   append(f.jobs(8, 1), f.jobs(9, 2)...),
			Forged: []job.Ref{{ID: 5, DispatchID: 6}, {}, {}, {}, {}},
		})
		_, leased, err := f.LeaseOf(context.Background(), f.queue, got.Forged[0])
		f.no(err)
		f.same("what names an attempt is leased", leased, true)

		// The lease nobody can name ends, and must not stay in lost.
		f.do("ZADD", f.leases(), "XX", 1, "99999999999999999999:1", 1, "5:6")
		lost, err := f.Expired(context.Background(), f.queue, 1, job.NoDeadline, 0)
		f.no(err)
		f.same("lost", lost, []job.LostAttempt{{Ref: job.Ref{ID: 5, DispatchID: 6}, Counts: true}})
		f.same("members of lost", f.do("ZRANGE", f.lost(), 0, -1), []any{"5:6"})
	})
}

func TestTake_KeepsTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(8, 1, 2, 3, 4)
		f.do("DEL", f.bell())
		f.taken("t1", 1)
		f.same("rung for the rest", f.do("LLEN", f.bell()), int64(3))
		f.taken("t2", 3)
		f.same("removed", f.do("EXISTS", f.bell()), int64(0))
	})
}

func TestTake_RefusesWhatIsNoOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newServer(t))
	for what, change := range map[string]func(*job.Take){
		"limit 0":   func(o *job.Take) { o.Limit = 0 },
		"limit 501": func(o *job.Take) { o.Limit = job.MaxBatch + 1 },
		"no token":  func(o *job.Take) { o.Token = "" },
		"no worker": func(o *job.Take) { o.WorkerID = "" },
		"no lease":  func(o *job.Take) { o.Lease = 0 },
		"no queue":  func(o *job.Take) { o.QueueName = "" },
		"epoch 0":   func(o *job.Take) { o.Epoch = 0 },
	} {
		o := f.order("t1", 1)
		change(&o)
		if got, err := f.Take(context.Background(), o); err == nil {
			t.Errorf("%s: Take = %v, want an error", what, got)
		}
	}
}

func TestRelease_PutsBackInOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		jobs := f.jobs(8, 1, 2, 3, 4, 5, 6)
		jobs[0].Priority, jobs[1].Priority, jobs[5].Priority = 1, 2, 900
		_, err := f.Push(ctx, f.batch(jobs...))
		f.no(err)
		got, err := f.Take(ctx, f.order("t1", 6))
		f.no(err)
		f.pushed(9, 7)
		f.no(f.Ack(ctx, f.queue, 1, refs(8, 3)))
		f.do("DEL", f.bell())
		f.no(f.Release(ctx, f.queue, 1, got.Jobs)) // 3 is over: it does not come back
		f.same("tokens", f.do("LLEN", f.bell()), int64(5))
		f.same("leases", f.do("ZCARD", f.leases()), int64(0))
		f.no(f.Release(ctx, f.queue, 1, got.Jobs))
		back, err := f.Take(ctx, f.order("t2", 6))
		f.no(err)
		want := append(append(jobs[:2:2], jobs[3:5]...), f.jobs(9, 7)...)
		want = append(want, jobs[5])
		if diff := cmp.Diff(want, back.Jobs); diff != "" {
			t.Errorf("taken again: -want +got\n%s", diff)
		}
		f.no(f.Release(ctx, f.queue, 1, nil))
	})
}

func TestRelease_TakesMoreThanOneBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newServer(t))
	var held []job.Envelope
	for d := range int64(3) {
		_, err := f.Push(context.Background(), f.batch(f.full(d+1, 10)...))
		f.no(err)
		got, err := f.Take(context.Background(), f.order("t"+strconv.FormatInt(d, 10), job.MaxBatch))
		f.no(err)
		held = append(held, got.Jobs...)
	}
	held = held[:1201]
	f.no(f.Release(context.Background(), f.queue, 1, held))
	var back []job.Envelope
	for i := range 3 {
		got, err := f.Take(context.Background(), f.order("u"+strconv.Itoa(i), job.MaxBatch))
		f.no(err)
		back = append(back, got.Jobs...)
	}
	f.same("order", idsOf(back), idsOf(held))
}
