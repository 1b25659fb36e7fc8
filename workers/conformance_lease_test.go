package workers_test

import (
	"context"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// leaseContracts are what [workers.Leases] promises.
var leaseContracts = map[string]func(*fixture){
	"Leases.Beat/renews_until_now_and_lease":         beatRenews,
	"Leases.Beat/names_the_gone":                     beatNamesGone,
	"Leases.Beat/names_the_cancelled":                beatNamesCancelled,
	"Leases.Beat/stale":                              beatStale,
	"Leases.Beat/full_batch":                         beatsFullBatch,
	"Announce/leases_anew":                           announces,
	"Announce/refuses_the_lost":                      announceRefused,
	"Announce/stale":                                 announceStale,
	"Ack/gives_up_leases":                            acks,
	"Ack/stale":                                      ackStale,
	"Leases/says_that_ctx_has_ended_and_did_nothing": leasesEnded,
}

// brief takes n new jobs with a lease that ends at once.
func (f *fixture) brief(n int) []job.Ref {
	f.Helper()
	jobs, t := f.pushed(n), f.order(n)
	t.Lease = time.Millisecond
	f.taken("brief", t, false, jobs...)
	return refs(jobs)
}

// held takes n new jobs with a lease that does not end.
func (f *fixture) held(n int) []job.Ref {
	f.Helper()
	jobs := f.pushed(n)
	f.taken("held", f.order(n), false, jobs...)
	return refs(jobs)
}

func (f *fixture) beat(lease time.Duration, refs ...job.Ref) (gone, cancelled []job.Ref) {
	f.Helper()
	gone, cancelled, err := f.leases.Beat(f.Context(), f.name, 1, lease, refs)
	f.no("Beat", err)
	return sorted(gone), sorted(cancelled)
}

// announce returns what was refused.
func (f *fixture) announce(epoch int64, lease time.Duration, refs ...job.Ref) []job.Ref {
	f.Helper()
	refused, err := f.leases.Announce(f.Context(), f.name, epoch, lease, refs)
	f.no("Announce", err)
	return sorted(refused)
}

var none = []job.Ref{}

func beatRenews(f *fixture) {
	list := f.brief(4) // ended and not yet reaped: still to be renewed
	for range 2 {
		gone, cancelled := f.beat(time.Hour, list[:2]...)
		f.same("gone", gone, none)
		f.same("cancelled", cancelled, none)
	}
	f.lose(list[2:]...)
	f.same("lost", sorted(f.reap()), list[2:])
	gone, _ := f.beat(time.Millisecond, list...) // shortens as well
	f.same("gone", gone, list[2:])
	f.lose(list...)
}

func beatNamesGone(f *fixture) {
	list := f.held(3)
	lost := f.brief(1)
	f.lose(lost...)
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, list[1:2]))
	never := []job.Ref{{ID: 1 << 50, DispatchID: 1}, {ID: list[0].ID, DispatchID: list[0].DispatchID - 1}}
	over := slices.Concat(never, list[1:2], lost)
	for range 2 {
		gone, _ := f.beat(time.Hour, slices.Concat(never, list, lost)...)
		f.same("gone", gone, sorted(over))
	}
	gone, cancelled := f.beat(time.Hour)
	f.same("gone of nothing", append(gone, cancelled...), none)
}

func beatNamesCancelled(f *fixture) {
	list := f.held(4)
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, list[3:]))
	f.callOff(list[1], list[2], list[3])
	for range 2 { // and they stay leased
		gone, cancelled := f.beat(time.Hour, list...)
		f.same("gone", gone, list[3:])
		f.same("cancelled", cancelled, list[1:3])
	}
	gone, cancelled := f.beat(time.Millisecond, list[1]) // renewed like any other
	f.same("gone", gone, none)
	f.same("cancelled", cancelled, list[1:2])
	f.lose(list[1])
}

func beatStale(f *fixture) {
	list := f.brief(2)
	for _, epoch := range []int64{0, 2} {
		_, _, err := f.leases.Beat(f.Context(), f.name, epoch, time.Hour, list)
		f.stale("Beat", err, 1)
	}
	f.lose(list...) // nothing was renewed
	_, _, err := f.leases.Beat(f.Context(), f.name+"-never-opened", 1, time.Hour, list)
	f.stale("Beat in a queue never opened", err, 0)
	f.replace()
	_, _, err = f.leases.Beat(f.Context(), f.name, 1, time.Hour, list)
	f.stale("Beat to another process", err, 1)
}

func beatsFullBatch(f *fixture) {
	list := f.held(job.MaxBatch)
	f.callOff(list[job.MaxBatch-1])
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, list[:1]))
	gone, cancelled := f.beat(time.Hour, list...)
	f.same("gone", gone, list[:1])
	f.same("cancelled", cancelled, list[job.MaxBatch-1:])
}

func announces(f *fixture) {
	list := f.held(2)
	f.open(f.name, 2) // keeps what this Redis has leased
	f.same("leased in a new epoch", f.leased(2, list...), list)
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 2, list[:1])) // as if Redis had lost it
	for range 2 {
		f.same("refused", f.announce(2, time.Hour, list...), none)
		f.same("leased", f.leased(2, list...), list)
	}
	f.same("refused of nothing", f.announce(2, time.Hour), none)
	f.same("refused", f.announce(2, time.Millisecond, list...), none)
	f.lose(list...) // so its lease was set anew
}

func announceRefused(f *fixture) {
	lost := f.brief(1)
	f.lose(lost...)
	f.open(f.name, 2) // keeps lost
	never := []job.Ref{{ID: 1 << 50, DispatchID: 1}}
	for range 2 {
		f.same("refused", f.announce(2, time.Hour, slices.Concat(never, lost)...), lost)
		f.same("leased", f.leased(2, slices.Concat(never, lost)...), never)
	}
	f.same("lost", f.reap(), lost)
}

func announceStale(f *fixture) {
	list := []job.Ref{{ID: 1, DispatchID: 1}}
	for _, epoch := range []int64{0, 2} {
		_, err := f.leases.Announce(f.Context(), f.name, epoch, time.Hour, list)
		f.stale("Announce", err, 1)
	}
	f.same("leased", f.leased(1, list...), none)
	f.replace()
	_, err := f.leases.Announce(f.Context(), f.name, 1, time.Hour, list)
	f.stale("Announce to another process", err, 1)
}

func acks(f *fixture) {
	list, lost := f.held(3), f.brief(1)
	f.lose(lost...)
	f.callOff(list[1])
	over := slices.Concat(list[1:], lost, []job.Ref{{ID: 1 << 50, DispatchID: 1}})
	for range 2 {
		f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, over))
		gone, cancelled := f.beat(time.Hour, list...)
		f.same("gone", gone, list[1:])
		f.same("cancelled", cancelled, none)
	}
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, nil))
	f.same("what is being taken back", f.announce(1, time.Hour, lost...), lost)
	f.taken("nothing came back", f.order(10), false)
}

func ackStale(f *fixture) {
	list := f.held(1)
	for _, epoch := range []int64{0, 2} {
		f.stale("Ack", f.leases.Ack(f.Context(), f.name, epoch, list), 1)
	}
	f.same("leased", f.leased(1, list...), list)
	f.replace()
	f.stale("Ack to another process", f.leases.Ack(f.Context(), f.name, 1, list), 1)
}

func leasesEnded(f *fixture) {
	list, unleased := f.held(1), []job.Ref{{ID: 1 << 50, DispatchID: 1}}
	f.ended(map[string]func(context.Context) error{
		"Beat": func(ctx context.Context) error {
			_, _, err := f.leases.Beat(ctx, f.name, 1, time.Millisecond, list)
			return err
		},
		"Announce": func(ctx context.Context) error {
			_, err := f.leases.Announce(ctx, f.name, 1, time.Hour, unleased)
			return err
		},
		"Ack": func(ctx context.Context) error { return f.leases.Ack(ctx, f.name, 1, list) },
	})
	f.same("leased", f.leased(1, slices.Concat(list, unleased)...), list)
}
