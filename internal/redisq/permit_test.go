package redisq

import (
	"context"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// As many requests as may are under way at once, whoever asks; one that is given back, or
// not renewed, makes room.
func TestPermit_AsManyAsMay(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		l := job.PushLimits{MaxInFlight: 2, Lease: time.Hour}
		want := func(id string, want bool) {
			t.Helper()
			ok, wait, err := f.Permit(ctx, f.queue, id, l)
			f.no(err)
			if ok != want || wait != 0 {
				t.Errorf("Permit(%s) = %t, %s, want %t", id, ok, wait, want)
			}
		}
		want("a", true)
		want("b", true)
		want("a", true) // sent again
		want("c", false)
		f.no(f.GiveBack(ctx, f.queue, "a"))
		want("c", true)
		want("d", false)
		flying, err := f.InFlight(ctx, []string{f.queue, "none"})
		f.no(err)
		f.same("in flight", []int{flying[f.queue], flying["none"]}, []int{2, 0})
		f.do("ZADD", keys("queue:{"+f.queue+"}").permits(), "XX", 1, "b") // its worker is dead
		flying, err = f.InFlight(ctx, []string{f.queue})
		f.no(err)
		f.same("in flight without the dead", flying[f.queue], 1)
		want("d", true)
		want("e", false)
		l.MaxInFlight = 3
		want("e", true)
	})
}

func TestPermit_AsOftenAsMay(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		l := job.PushLimits{MaxInFlight: 10, RatePerSecond: 0.01, Lease: time.Hour}
		ok, _, err := f.Permit(ctx, f.queue, "a", l)
		f.no(err)
		again, _, err := f.Permit(ctx, f.queue, "a", l) // sent again
		f.no(err)
		no, wait, err := f.Permit(ctx, f.queue, "b", l)
		f.no(err)
		if !ok || !again || no || wait <= 0 || wait > 100*time.Second {
			t.Errorf("Permit = %t, again %t, the next %t in %s, want the next within 100 s", ok, again, no, wait)
		}
		f.no(f.GiveBack(ctx, f.queue, "a")) // the rate is of requests that leave
		no, _, err = f.Permit(ctx, f.queue, "b", l)
		f.no(err)
		l.RatePerSecond = 1000
		yes, _, err := f.Permit(ctx, f.queue, "b", l) // raised: nobody waits by the old one
		f.no(err)
		f.same("after one was given back, and with another rate", []bool{no, yes}, []bool{false, true})
	})
}

// A push worker learns its place among those that live, and what Redis has lost of its
// permits is there again.
func TestAttend_RenewsAndTells(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		pushers := keys("queue:{" + f.queue + "}").pushers()
		want := func(worker string, place, of int, ids ...string) {
			t.Helper()
			p, n, err := f.Attend(ctx, f.queue, worker, time.Hour, ids)
			f.no(err)
			f.same(worker, []int{p, n}, []int{place, of})
		}
		want("b", 0, 1, "1", "2")
		want("a", 0, 2)
		want("b", 1, 2)
		want("c", 2, 3)
		f.do("ZADD", pushers, "XX", 1, "a") // dead
		want("c", 1, 2)
		l := job.PushLimits{MaxInFlight: 2, Lease: time.Hour}
		ok, _, err := f.Permit(ctx, f.queue, "3", l)
		f.no(err)
		if ok {
			t.Error("a permit beside two that were renewed, want none")
		}
		f.do("ZADD", keys("queue:{"+f.queue+"}").permits(), 1, "1", 1, "2")
		want("b", 0, 2, "1") // 2 was given back meanwhile
		ok, _, err = f.Permit(ctx, f.queue, "3", l)
		f.no(err)
		if !ok {
			t.Error("no permit beside one that was renewed")
		}
	})
}
