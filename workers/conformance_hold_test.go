package workers_test

import (
	"context"
	"slices"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// holdContracts are what [workers.Holds] promises.
var holdContracts = map[string]func(*fixture){
	"Hold/moves_what_is_current":       holdsCurrent,
	"Hold/again_is_the_same":           holdsAgain,
	"Hold/what_was_taken_back_is_over": holdsNotWhatIsOver,
	"Renew/says_what_is_current":       renews,
	"Renew/of_another_worker":          renewsOnlyItsOwn,
	"Claim/holds_what_it_hands_out":    claims,
	"Claim/again_is_the_same":          claimsAgain,
	"Claim/refuses_epoch_and_pause":    claimsNot,
	"Holds/says_that_ctx_has_ended":    holdsEnded,
}

func (f *fixture) holding(lease time.Duration, refs ...job.Ref) job.Hold {
	return job.Hold{QueueName: f.name, WorkerID: f.name + "-w", DispatchID: job.NewDispatchID(), Lease: lease, Refs: refs}
}

func (f *fixture) hold(h job.Hold) []int64 {
	f.Helper()
	ids, err := f.store.Hold(f.Context(), h)
	f.no("Hold", err)
	slices.Sort(ids)
	return ids
}

func (f *fixture) renew(worker string, dispatches ...int64) (current, cancelled []job.Ref) {
	f.Helper()
	current, cancelled, err := f.store.Renew(f.Context(), worker, time.Hour, dispatches)
	f.no("Renew", err)
	return sorted(current), sorted(cancelled)
}

func (f *fixture) claiming(limit int) job.Claim {
	return job.Claim{
		QueueName: f.name, Epoch: 1, RelayID: "w1", DispatchID: job.NewDispatchID(), Limit: limit, WorkerID: f.name + "-w", Lease: time.Hour,
		Spans: []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: job.MaxPriority}},
	}
}

func (f *fixture) claim(c job.Claim) []job.Ref {
	f.Helper()
	b, err := f.store.Claim(f.Context(), c)
	f.no("Claim", err)
	for _, e := range b.Jobs {
		f.same("dispatch of what was claimed", e.DispatchID, c.DispatchID)
	}
	return sorted(refs(b.Jobs))
}

// under names refs by another dispatch.
func under(dispatch int64, list ...job.Ref) []job.Ref {
	out := []job.Ref{}
	for _, ref := range list {
		out = append(out, job.Ref{ID: ref.ID, DispatchID: dispatch})
	}
	return out
}

func holdsCurrent(f *fixture) {
	waiting, begun, over, cancelled := f.one(), f.one(), f.one(), f.one()
	f.reconcile(job.Outcome{Ref: begun, Kind: job.Started}, job.Outcome{Ref: over, Kind: job.Succeeded})
	f.cancel(cancelled)
	h := f.holding(time.Hour, waiting, begun, over, cancelled, job.Ref{ID: 1 << 50, DispatchID: 1})
	f.same("held", f.hold(h), []int64{waiting.ID, begun.ID})
	f.same("under the old fence", f.reconcile(job.Outcome{Ref: waiting, Kind: job.Succeeded}), map[job.Ref]job.Status{})
	now := under(h.DispatchID, waiting)[0]
	f.same("under the new one", f.reconcile(job.Outcome{Ref: now, Kind: job.Succeeded}), map[job.Ref]job.Status{now: job.Completed})
}

func holdsAgain(f *fixture) {
	a, b := f.one(), f.one()
	h := f.holding(time.Hour, a, b)
	for range 3 {
		f.same("held", f.hold(h), []int64{a.ID, b.ID})
	}
	current, _ := f.renew(h.WorkerID, h.DispatchID)
	f.same("current", current, under(h.DispatchID, a, b))
}

func holdsNotWhatIsOver(f *fixture) {
	a := f.one()
	h := f.holding(time.Millisecond, a)
	f.hold(h)
	devtest.Until(f, patience, "the lease to end", func() (bool, error) { return slices.Contains(f.takeBack(), under(h.DispatchID, a)[0]), nil })
	f.same("held again", f.hold(h), []int64(nil))
	current, cancelled := f.renew(h.WorkerID, h.DispatchID)
	f.same("current", append(current, cancelled...), []job.Ref{})
	f.same("status", f.job(a.ID).Status, job.Queued)
}

func renews(f *fixture) {
	waiting, over, cancelled := f.one(), f.one(), f.one()
	h := f.holding(time.Hour, waiting, over, cancelled)
	f.hold(h)
	f.reconcile(job.Outcome{Ref: under(h.DispatchID, over)[0], Kind: job.Succeeded})
	f.cancel(under(h.DispatchID, cancelled)[0])
	current, off := f.renew(h.WorkerID, h.DispatchID, h.DispatchID+1)
	f.same("current", current, under(h.DispatchID, waiting))
	f.same("cancelled", off, under(h.DispatchID, cancelled))
}

func renewsOnlyItsOwn(f *fixture) {
	h := f.holding(time.Hour, f.one())
	f.hold(h)
	current, cancelled := f.renew(f.name+"-another", h.DispatchID)
	f.same("renewed", append(current, cancelled...), []job.Ref{})
}

func claims(f *fixture) {
	f.insert(5)
	c := f.claiming(3)
	first := f.claim(c)
	f.same("claimed", len(first), 3)
	current, _ := f.renew(c.WorkerID, c.DispatchID)
	f.same("held", current, first)
	f.same("the rest", len(f.claim(f.claiming(10))), 2)
	f.same("nothing", f.claim(f.claiming(10)), []job.Ref{})
}

func claimsAgain(f *fixture) {
	f.insert(5)
	c := f.claiming(3)
	first := f.claim(c)
	c.Again = true
	f.same("again", f.claim(c), first)
	f.reconcile(job.Outcome{Ref: first[0], Kind: job.Succeeded})
	f.same("what is left of it", f.claim(c), first[1:])
	never := f.claiming(10)
	never.Again = true
	f.same("of a claim that never arrived", len(f.claim(never)), 2)
}

func claimsNot(f *fixture) {
	f.insert(1)
	other := f.claiming(1)
	other.Epoch = 7
	f.same("in another epoch", f.claim(other), []job.Ref{})
	f.same("in the present one", len(f.claim(f.claiming(1))), 1)
}

func holdsEnded(f *fixture) {
	ref := f.one()
	f.ended(map[string]func(context.Context) error{
		"Hold": func(ctx context.Context) error { _, err := f.store.Hold(ctx, f.holding(time.Hour, ref)); return err },
		"Renew": func(ctx context.Context) error {
			_, _, err := f.store.Renew(ctx, "w", time.Hour, []int64{1})
			return err
		},
		"Claim": func(ctx context.Context) error { _, err := f.store.Claim(ctx, f.claiming(1)); return err },
	})
	f.same("status", f.job(ref.ID).Status, job.Dispatched)
}
