package redisq

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestExpired_MovesEndedLeases(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		now := time.Now().UnixMilli()
		f.do("ZADD", f.leases(), now-3, "1:8", now-2, "2:8", now-1, "3:8", now+60000, "4:8")
		f.do("ZADD", f.lost(), 0, "9:7") // somebody else found it and died
		got, err := f.Expired(ctx, f.queue, 1, job.NoDeadline, 2)
		f.no(err)
		attempt := func(id, dispatch int64, counts bool) job.LostAttempt {
			return job.LostAttempt{Ref: job.Ref{ID: id, DispatchID: dispatch}, Counts: counts}
		}
		f.same("first two", got, []job.LostAttempt{attempt(9, 7, false), attempt(1, 8, true)})
		f.same("leases", f.do("ZRANGE", f.leases(), 0, -1), []any{"3:8", "4:8"})
		f.same("score in lost is the deadline", f.do("ZSCORE", f.lost(), "1:8"), any(float64(now-3)))

		f.no(f.Drop(ctx, f.queue, 1, refs(7, 9)))
		got, err = f.Expired(ctx, f.queue, 1, job.NoDeadline, 0)
		f.no(err)
		f.same("all", got, []job.LostAttempt{attempt(1, 8, true), attempt(2, 8, true), attempt(3, 8, true)})
		f.no(f.Drop(ctx, f.queue, 1, refs(8, 1, 2, 3)))
		got, err = f.Expired(ctx, f.queue, 1, job.NoDeadline, 0)
		f.no(err)
		f.same("none", len(got), 0)
		f.same("leases", f.do("ZRANGE", f.leases(), 0, -1), []any{"4:8"})
	})
}

func TestExpired_Limits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newServer(t))
	for i := range 700 {
		f.do("ZADD", f.leases(), i+1, fmt.Sprintf("%d:8", i+1))
	}
	for _, c := range []struct{ limit, want, left int }{{1, 1, 699}, {0, 100, 599}, {job.MaxBatch, job.MaxBatch, 99}} {
		got, err := f.Expired(context.Background(), f.queue, 1, job.NoDeadline, c.limit)
		f.no(err)
		f.same("moved and left", []any{len(got), f.do("ZCARD", f.leases())}, []any{c.want, int64(c.left)})
	}
	for _, limit := range []int{-1, job.MaxBatch + 1} {
		if _, err := f.Expired(context.Background(), f.queue, 1, job.NoDeadline, limit); err == nil {
			t.Errorf("Expired(limit %d) = nil, want an error", limit)
		}
	}
}

func TestMissing_SparesWhatIsLeased(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.do("ZADD", f.leases(), 1, "1:8") // ended, but reaping is another's business
		f.do("ZADD", f.lost(), 5, "2:8")   // its lease had ended: it counts
		got, err := f.Missing(ctx, f.queue, 1, refs(8, 1, 2, 3))
		f.no(err)
		f.same("missing", got, []job.LostAttempt{
			{Ref: job.Ref{ID: 2, DispatchID: 8}, Counts: true},
			{Ref: job.Ref{ID: 3, DispatchID: 8}},
		})
		again, err := f.Missing(ctx, f.queue, 1, refs(8, 1, 2, 3))
		f.no(err)
		f.same("again", again, got)
		refused, err := f.Announce(ctx, f.queue, 1, job.Lease, refs(8, 3))
		f.no(err)
		f.same("announce", refused, refs(8, 3))
		got, err = f.Missing(ctx, f.queue, 1, nil)
		f.no(err)
		f.same("none asked", len(got), 0)
	})
}

func TestDrop_RemovesFromLostAndLeases(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.do("ZADD", f.leases(), 1e15, "1:8", 1e15, "2:8")
		f.do("ZADD", f.lost(), 5, "2:8", 5, "3:8", 5, "4:8")
		f.no(f.Drop(context.Background(), f.queue, 1, refs(8, 2, 3)))
		f.same("leases", f.do("ZRANGE", f.leases(), 0, -1), []any{"1:8"})
		f.same("lost", f.do("ZRANGE", f.lost(), 0, -1), []any{"4:8"})
	})
}

func TestCancel_ForgetsAfterADay(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		now := time.Now().UnixMilli()
		day := (24 * time.Hour).Milliseconds()
		f.do("ZADD", f.cancelled(), now-day-1000, "1:8", now-day+60000, "2:8")
		f.no(f.Cancel(context.Background(), f.queue, 1, refs(8, 3)))
		f.same("orders", f.do("ZRANGE", f.cancelled(), 0, -1), []any{"2:8", "3:8"})
		f.no(f.Cancel(context.Background(), f.queue, 1, nil))
	})
}

// A Redis that stood still runs what was sent to it before the heartbeats that
// queue behind: after the deadline nothing ends (PROTOCOL.md hole 10).
func TestExpired_LateEndsNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		now := time.Now().UnixMilli()
		f.do("ZADD", f.leases(), now-3, "1:8")
		if _, err := f.Expired(context.Background(), f.queue, 1, now-1, 0); !errors.Is(err, job.ErrLate) {
			t.Errorf("Expired after its deadline = %v, want %v", err, job.ErrLate)
		}
		f.same("leases", f.do("ZRANGE", f.leases(), 0, -1), []any{"1:8"})
		f.same("lost", f.do("EXISTS", f.lost()), any(int64(0)))
	})
}
