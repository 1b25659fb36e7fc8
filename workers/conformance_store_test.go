package workers_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// storeContracts are what [workers.Store] promises.
var storeContracts = map[string]func(*fixture){
	"Reconcile/each_kind_from_dispatched":           func(f *fixture) { judgesEachKind(f, false) },
	"Reconcile/each_kind_from_running":              func(f *fixture) { judgesEachKind(f, true) },
	"Reconcile/start_is_recorded_once":              recordsStartOnce,
	"Reconcile/refuses_what_is_over":                refusesWhatIsOver,
	"Reconcile/refuses_two_outcomes_of_one":         refusesTwoOutcomes,
	"Reconcile/resending_is_harmless":               reconcilesAgain,
	"Reconcile/a_refused_value_is_a_data_error":     refusesValue,
	"Reconcile/full_batch":                          reconcilesFullBatch,
	"Verify/what_is_current":                        verifies,
	"Beat/returns_epochs":                           beatsInStore,
	"Beat/is_told_to_be_quiet":                      quietInStore,
	"Retire/takes_out_of_the_living":                retires,
	"Store/says_that_ctx_has_ended_and_did_nothing": storeEnded,
}

func (f *fixture) reconcile(outcomes ...job.Outcome) map[job.Ref]job.Status {
	f.Helper()
	verdicts, err := f.store.Reconcile(f.Context(), "w1", outcomes)
	f.no("Reconcile", err)
	got := map[job.Ref]job.Status{}
	for _, v := range verdicts {
		if _, twice := got[v.Ref]; twice {
			f.Errorf("Reconcile: two verdicts for %s", v.Ref)
		}
		got[v.Ref] = v.Status
	}
	return got
}

// one dispatches one job that may fail many times.
func (f *fixture) one() job.Ref {
	f.Helper()
	return f.dispatch(1, job.DefaultMaxAttempts)[0].Ref()
}

func judgesEachKind(f *fixture, running bool) {
	rows := []struct {
		kind        job.OutcomeKind
		maxAttempts int16
		status      job.Status
		failures    int16
	}{
		{job.Succeeded, 1, job.Completed, 0},
		{job.Failed, 2, job.Queued, 1}, // one is left
		{job.Failed, 1, job.Dead, 1},   // it was the last
		{job.Snoozed, 1, job.Queued, 0},
		{job.Discarded, 25, job.Dead, 1},
		{job.CalledOff, 25, job.Cancelled, 0},
	}
	var outcomes, starts []job.Outcome
	want := map[job.Ref]job.Status{}
	for _, row := range rows {
		ref := f.dispatch(1, row.maxAttempts)[0].Ref()
		o := job.Outcome{Ref: ref, Kind: row.kind, Delay: time.Hour, Ran: time.Second}
		if row.failures > 0 {
			o.Error, o.Stack = "no route", "main.go:1"
		}
		outcomes, want[ref] = append(outcomes, o), row.status
		starts = append(starts, job.Outcome{Ref: ref, Kind: job.Started})
	}
	if running {
		f.reconcile(starts...)
	}
	f.same("verdicts", f.reconcile(outcomes...), want)
	for i, row := range rows {
		j := f.job(outcomes[i].Ref.ID)
		got := job.Job{Status: j.Status, FailureCount: j.FailureCount, LastError: j.LastError, WorkerID: j.WorkerID}
		f.same(string(row.kind), got, job.Job{Status: row.status, FailureCount: row.failures, LastError: outcomes[i].Error, WorkerID: "w1"})
	}
}

func recordsStartOnce(f *fixture) {
	ref := f.one()
	start := job.Outcome{Ref: ref, Kind: job.Started, Ran: 250 * time.Millisecond}
	f.same("first", f.reconcile(start), map[job.Ref]job.Status{ref: job.Running})
	f.same("status", f.job(ref.ID).Status, job.Running)
	f.same("again", f.reconcile(start), map[job.Ref]job.Status{})
	f.same("status", f.job(ref.ID).Status, job.Running)
	f.same("the end after it", f.reconcile(job.Outcome{Ref: ref, Kind: job.Succeeded}), map[job.Ref]job.Status{ref: job.Completed})
	f.same("a start after the end", f.reconcile(start), map[job.Ref]job.Status{})
	f.same("status", f.job(ref.ID).Status, job.Completed)
}

func refusesWhatIsOver(f *fixture) {
	var (
		current, stale  = f.one(), f.one()
		over, cancelled = f.one(), f.one()
		old             = job.Ref{ID: stale.ID, DispatchID: stale.DispatchID - 1}
		unknown         = job.Ref{ID: 1 << 50, DispatchID: 1}
		done            = func(ref job.Ref) job.Outcome { return job.Outcome{Ref: ref, Kind: job.Succeeded} }
	)
	f.reconcile(job.Outcome{Ref: over, Kind: job.Snoozed, Delay: time.Hour})
	f.cancel(cancelled)
	got := f.reconcile(done(old), done(unknown), done(over), done(cancelled), done(current))
	f.same("verdicts", got, map[job.Ref]job.Status{current: job.Completed})
	for ref, want := range map[job.Ref]job.Status{stale: job.Dispatched, over: job.Queued, cancelled: job.Cancelled} {
		f.same("status", f.job(ref.ID).Status, want)
	}
}

func refusesTwoOutcomes(f *fixture) {
	ref, other := f.one(), f.one()
	for _, pair := range [][2]job.OutcomeKind{
		{job.Succeeded, job.Failed}, {job.Succeeded, job.Succeeded}, {job.Started, job.Succeeded}, {job.Failed, job.Started},
	} {
		_, err := f.store.Reconcile(f.Context(), "w1", []job.Outcome{
			{Ref: ref, Kind: pair[0]}, {Ref: other, Kind: job.Succeeded}, {Ref: ref, Kind: pair[1]},
		})
		// A *job.DataError: halving the batch parts the two.
		if data := new(job.DataError); !errors.As(err, &data) {
			f.Errorf("Reconcile(%s and %s of one attempt) = %v, want a *job.DataError", pair[0], pair[1], err)
		}
	}
	f.same("status", f.job(ref.ID).Status, job.Dispatched)
	f.same("status of the other", f.job(other.ID).Status, job.Dispatched)
}

func reconcilesAgain(f *fixture) {
	jobs := f.dispatch(3, 3)
	failed, done, begun := jobs[0].Ref(), jobs[1].Ref(), jobs[2].Ref()
	outcomes := []job.Outcome{
		{Ref: failed, Kind: job.Failed, Delay: time.Hour, Error: "no route"}, {Ref: done, Kind: job.Succeeded}, {Ref: begun, Kind: job.Started},
	}
	f.same("first", f.reconcile(outcomes...), map[job.Ref]job.Status{failed: job.Queued, done: job.Completed, begun: job.Running})
	for range 2 {
		f.same("again", f.reconcile(outcomes...), map[job.Ref]job.Status{})
	}
	f.same("failures", f.job(failed.ID).FailureCount, int16(1))
	for ref, want := range map[job.Ref]job.Status{failed: job.Queued, done: job.Completed, begun: job.Running} {
		f.same("status", f.job(ref.ID).Status, want)
	}
}

func refusesValue(f *fixture) {
	good, odd := f.one(), f.one()
	_, err := f.store.Reconcile(f.Context(), "w1", []job.Outcome{
		{Ref: good, Kind: job.Failed, Error: "no route"}, {Ref: odd, Kind: job.Failed, Error: "no\x00route"},
	})
	if data := new(job.DataError); !errors.As(err, &data) || errors.Is(err, job.ErrUnavailable) || errors.Is(err, job.ErrConflict) {
		f.Errorf("Reconcile(NUL) = %v, want a *job.DataError and no reason to send it again", err)
	}
	f.same("status of the good one", f.job(good.ID).Status, job.Dispatched)
	f.same("alone", f.reconcile(job.Outcome{Ref: good, Kind: job.Succeeded}), map[job.Ref]job.Status{good: job.Completed})
}

func reconcilesFullBatch(f *fixture) {
	jobs := f.dispatch(job.MaxBatch, 3)
	var outcomes []job.Outcome
	want := map[job.Ref]job.Status{}
	for _, ref := range refs(jobs) {
		outcomes, want[ref] = append(outcomes, job.Outcome{Ref: ref, Kind: job.Succeeded}), job.Completed
	}
	slices.Reverse(outcomes)
	f.same("verdicts", f.reconcile(outcomes...), want)
	f.same("of nothing", f.reconcile(), map[job.Ref]job.Status{})
}

func verifies(f *fixture) {
	waiting, begun, over, cancelled := f.one(), f.one(), f.one(), f.one()
	f.reconcile(job.Outcome{Ref: begun, Kind: job.Started}, job.Outcome{Ref: over, Kind: job.Succeeded})
	f.cancel(cancelled)
	asked := []job.Ref{cancelled, {ID: 1 << 50, DispatchID: 1}, begun, over, {ID: waiting.ID, DispatchID: waiting.DispatchID - 1}, waiting}
	for _, row := range []struct{ ask, want []job.Ref }{{asked, []job.Ref{waiting, begun}}, {nil, nil}, {asked[:2], nil}} {
		got, err := f.store.Verify(f.Context(), row.ask)
		f.no("Verify", err)
		f.same("current", sorted(got), sorted(row.want))
	}
	// A new epoch ends no attempt.
	f.begin()
	got, err := f.store.Verify(f.Context(), asked)
	f.no("Verify", err)
	f.same("current after an epoch", sorted(got), sorted([]job.Ref{waiting, begun}))
}

// process is a worker that no other contract has.
func (f *fixture) process(id string) job.Process {
	return job.Process{ID: f.name + "-" + id, Role: "worker", Host: "here", PID: 1, StartedAt: time.Now(), Queues: []string{f.name}, Slots: 3}
}

func (f *fixture) beats(p job.Process) map[string]int64 {
	f.Helper()
	heard, err := f.store.Beat(f.Context(), p)
	f.no("Beat", err)
	return heard.Epochs
}

func quietInStore(f *fixture) {
	hears := func(what string, p job.Process, want bool) {
		f.Helper()
		heard, err := f.store.Beat(f.Context(), p)
		f.no("Beat", err)
		f.same(what, heard.Quiet, want)
	}
	p := f.process("quiet")
	hears("quiet, untold", p, false)
	p.Quiet = true
	hears("quiet, told now", p, true)
	p.Quiet = false
	hears("quiet, told before", p, true)
	hears("quiet of another", f.process("loud"), false)
	p.PID, p.Host = 2, "there"
	hears("quiet of the same life, wherever it says that it is", p, true)
	p.Life++ // with the same host and pid, as in a container
	hears("quiet of the next process with its id", p, false)
	f.no("Retire", f.store.Retire(f.Context(), p.ID))
}

func beatsInStore(f *fixture) {
	p := f.process("a") // without epochs: it has joined none
	f.same("epoch", f.beats(p)[f.name], int64(1))
	p.Epochs, p.RedisOK = map[string]int64{f.name: 1}, true
	f.same("epoch, again", f.beats(p)[f.name], int64(1))
	f.same("epoch after the next began", f.begin(), f.beats(p)[f.name])
	f.same("epoch, for one that does not serve the queue", f.beats(job.Process{ID: f.name + "-b", Role: "relay"})[f.name], int64(2))
	if epoch, ok := f.beats(p)[f.name+"-unknown"]; ok {
		f.Errorf("epoch of a queue that nobody registered = %d, want none", epoch)
	}
	if !slices.Contains(f.living(), p.ID) {
		f.Errorf("living = %v, want %s among them", f.living(), p.ID)
	}
}

func retires(f *fixture) {
	a, b := f.process("a"), f.process("b")
	f.beats(a)
	f.beats(b)
	for _, id := range []string{a.ID, a.ID, f.name + "-never"} {
		f.no("Retire", f.store.Retire(f.Context(), id))
	}
	if living := f.living(); slices.Contains(living, a.ID) || !slices.Contains(living, b.ID) {
		f.Errorf("living = %v, want %s and not %s", living, b.ID, a.ID)
	}
	f.beats(a)
	if living := f.living(); !slices.Contains(living, a.ID) {
		f.Errorf("living = %v, want %s back", living, a.ID)
	}
}

func storeEnded(f *fixture) {
	ref, p := f.one(), f.process("a")
	f.ended(map[string]func(context.Context) error{
		"Reconcile": func(ctx context.Context) error {
			_, err := f.store.Reconcile(ctx, "w1", []job.Outcome{{Ref: ref, Kind: job.Succeeded}})
			return err
		},
		"Verify": func(ctx context.Context) error { _, err := f.store.Verify(ctx, []job.Ref{ref}); return err },
		"Beat":   func(ctx context.Context) error { _, err := f.store.Beat(ctx, p); return err },
		"Retire": func(ctx context.Context) error { return f.store.Retire(ctx, p.ID) },
	})
	f.same("status", f.job(ref.ID).Status, job.Dispatched)
	if slices.Contains(f.living(), p.ID) {
		f.Error("a beat that failed was counted")
	}
}
