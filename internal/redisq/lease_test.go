package redisq

import (
	"context"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestBeat_RenewsAndTells(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.pushed(8, 1, 2, 3, 4)
		f.taken("t1", 4)
		f.no(f.Cancel(ctx, f.queue, 1, refs(8, 2, 77)))
		f.do("ZADD", f.leases(), "XX", 1, "1:8", 2, "2:8") // ended, not yet taken back
		f.do("ZREM", f.leases(), "3:8")
		gone, off, err := f.Beat(ctx, f.queue, 1, time.Hour, refs(8, 1, 2, 3, 4, 77))
		f.no(err)
		f.same("gone", gone, refs(8, 3, 77))
		f.same("called off", off, refs(8, 2))
		for _, ref := range refs(8, 1, 2, 4) {
			until, leased, err := f.LeaseOf(ctx, f.queue, ref)
			f.no(err)
			if !leased || time.Until(until) < 59*time.Minute {
				t.Errorf("LeaseOf(%v) = %s, %t, want an hour", ref, until, leased)
			}
		}
		f.same("leases", f.do("ZCARD", f.leases()), int64(3))

		gone, off, err = f.Beat(ctx, f.queue, 1, job.Lease, refs(8, 1, 2))
		f.no(err)
		f.same("all leased, one called off", [][]job.Ref{gone, off}, [][]job.Ref{nil, refs(8, 2)})
		gone, off, err = f.Beat(ctx, f.queue, 1, time.Hour, refs(8, 1, 4))
		f.no(err)
		f.same("all well", []int{len(gone), len(off)}, []int{0, 0})
		gone, off, err = f.Beat(ctx, f.queue, 1, time.Hour, nil)
		f.no(err)
		f.same("nothing held", []int{len(gone), len(off)}, []int{0, 0})
	})
}

func TestBeat_OfWhatIsBeingTakenBackIsGone(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.pushed(8, 1)
		f.taken("t1", 1)
		f.do("ZADD", f.leases(), "XX", 1, "1:8")
		_, err := f.Expired(ctx, f.queue, 1, job.NoDeadline, 0)
		f.no(err)
		gone, _, err := f.Beat(ctx, f.queue, 1, job.Lease, refs(8, 1))
		f.no(err)
		f.same("gone", gone, refs(8, 1))
		f.same("leases", f.do("ZCARD", f.leases()), int64(0))
	})
}

func TestBeat_SplitsLongLists(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		var all, odd []job.Ref
		for i := range int64(1201) {
			ref := job.Ref{ID: i + 1, DispatchID: 8}
			all = append(all, ref)
			if i%100 == 0 {
				odd = append(odd, ref)
			}
		}
		refused, err := f.Announce(ctx, f.queue, 1, job.Lease, all)
		f.no(err)
		f.same("refused", len(refused), 0)
		f.no(f.Ack(ctx, f.queue, 1, odd))
		gone, _, err := f.Beat(ctx, f.queue, 1, job.Lease, all)
		f.no(err)
		f.same("gone", gone, odd)
		f.no(f.Cancel(ctx, f.queue, 1, all))
		gone, off, err := f.Beat(ctx, f.queue, 1, job.Lease, all)
		f.no(err)
		f.same("gone and called off", []int{len(gone), len(off)}, []int{len(odd), len(all) - len(odd)})
		lost, err := f.Missing(ctx, f.queue, 1, all)
		f.no(err)
		f.same("missing", len(lost), len(odd))
		f.no(f.Drop(ctx, f.queue, 1, all))
		f.same("left", []any{f.do("ZCARD", f.leases()), f.do("ZCARD", f.lost())}, []any{int64(0), int64(0)})
	})
}

func TestAnnounce_IsRefusedForWhatIsLost(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.do("ZADD", f.lost(), 0, "2:8", 7, "3:8")
		refused, err := f.Announce(ctx, f.queue, 1, time.Hour, refs(8, 1, 2, 3, 4))
		f.no(err)
		f.same("refused", refused, refs(8, 2, 3))
		f.same("leases", f.do("ZRANGE", f.leases(), 0, -1), []any{"1:8", "4:8"})
		refused, err = f.Announce(ctx, f.queue, 1, time.Hour, refs(8, 2))
		f.no(err)
		f.same("all refused", refused, refs(8, 2))
	})
}

func TestAck_EndsLeasesAndOrders(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.pushed(8, 1, 2, 3)
		f.taken("t1", 3)
		f.no(f.Cancel(ctx, f.queue, 1, refs(8, 1, 2)))
		f.no(f.Ack(ctx, f.queue, 1, refs(8, 1, 3, 99)))
		f.same("leases", f.do("ZRANGE", f.leases(), 0, -1), []any{"2:8"})
		f.same("orders", f.do("ZRANGE", f.cancelled(), 0, -1), []any{"2:8"})
		f.no(f.Ack(ctx, f.queue, 1, nil))
	})
}
