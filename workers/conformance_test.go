package workers_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// patience bounds every wait. Nothing is concluded from how long one took.
const patience = 2 * time.Minute

// fixture is one implementation of the three ports and one queue, open in epoch 1
// in the truth (Postgres) and in the window (Redis), with the hands of those who are
// not workers: relays, producers, and time.
type fixture struct {
	*testing.T
	store  workers.Store
	queue  workers.Queue
	leases workers.Leases
	name   string // of the queue

	// In the truth.
	dispatch func(n int, maxAttempts int16) []job.Envelope // new jobs; the window hears nothing
	job      func(id int64) job.Job                        // its status, counts, error, worker
	cancel   func(ref job.Ref)                             // somebody called the job off
	begin    func() int64                                  // the next epoch of the queue
	living   func() []string                               // the processes that beat
	insert   func(n int)                                   // due jobs, for whoever claims
	takeBack func() []job.Ref                              // what is held in the truth beyond its lease

	// In the window.
	open       func(queue string, epoch int64)
	push       func(jobs ...job.Envelope) // one batch: of one queue and one dispatch
	pushBroken func(ref job.Ref)          // an envelope of which the head only can be read
	pause      func(paused bool)
	callOff    func(refs ...job.Ref)
	reap       func() []job.Ref // moves ended leases to lost, and says what is in lost
	replace    func()           // another Redis process holds the same epoch
	shown      func() []string  // the registry

	ids, tokens int64
}

func TestConformance_Fake(t *testing.T) { conform(t, newFake) }

func TestConformance_Real(t *testing.T) { conform(t, newServers(t).fixture) }

// conform holds an implementation against the sentences of ports.go. Every contract
// has a fixture of its own.
func conform(t *testing.T, newFixture func(t *testing.T) *fixture) {
	t.Parallel()
	for _, part := range []map[string]func(*fixture){storeContracts, holdContracts, takeContracts, queueContracts, leaseContracts} {
		for _, name := range slices.Sorted(maps.Keys(part)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				part[name](newFixture(t))
			})
		}
	}
}

func newFake(t *testing.T) *fixture {
	fake := workers.NewFake()
	f := &fixture{
		T: t, name: fake.Name(), dispatch: fake.Dispatch, job: fake.Job, cancel: fake.Cancel, begin: fake.Begin, living: fake.Living,
		insert: fake.Insert, takeBack: fake.TakeBackHeld,
		open: fake.Open, push: fake.Push, pushBroken: fake.PushBroken, pause: fake.Pause, callOff: fake.CallOff,
		reap: fake.Reap, replace: fake.Replace, shown: fake.Shown,
	}
	f.store, f.queue, f.leases = fake.Ports()
	return f
}

// no fails the test on an error.
func (f *fixture) no(what string, err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("%s: %v", what, err)
	}
}

// same fails the test unless got is want.
func (f *fixture) same(what string, got, want any) {
	f.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		f.Fatalf("%s: -want +got\n%s", what, diff)
	}
}

// stale fails the test unless err says that Redis knows epoch.
func (f *fixture) stale(what string, err error, epoch int64) {
	f.Helper()
	var stale *job.StaleError
	if !errors.Is(err, job.ErrStale) || !errors.As(err, &stale) || stale.Epoch != epoch {
		f.Errorf("%s = %v, want stale, and redis knows epoch %d", what, err, epoch)
	}
}

// ended fails the test unless every call says that its ctx has ended.
func (f *fixture) ended(calls map[string]func(ctx context.Context) error) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	for name, call := range calls {
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			f.Errorf("%s with an ended ctx = %v, want %v", name, err, context.Canceled)
		}
	}
}

// envelopes makes n jobs that only the window knows.
func (f *fixture) envelopes(n int, priority int16) []job.Envelope {
	dispatchID, jobs := job.NewDispatchID(), make([]job.Envelope, n)
	for i := range jobs {
		f.ids++
		jobs[i] = job.Envelope{
			ID: f.ids, DispatchID: dispatchID, Version: job.EnvelopeVersion, AttemptCount: 1, QueueName: f.name, Kind: "test",
			Priority: priority, MaxAttempts: 3,
		}
	}
	return jobs
}

// pushed is envelopes of priority 100, pushed.
func (f *fixture) pushed(n int) []job.Envelope {
	jobs := f.envelopes(n, job.DefaultPriority)
	f.push(jobs...)
	return jobs
}

// order is a take with a new token in epoch 1, with a lease that does not end.
func (f *fixture) order(limit int) job.Take {
	f.tokens++
	return job.Take{
		QueueName: f.name, Epoch: 1, WorkerID: "w1", Token: "token-" + string(rune('a'+f.tokens)), Limit: limit, Lease: time.Hour,
	}
}

func (f *fixture) take(t job.Take) job.Taken {
	f.Helper()
	taken, err := f.queue.Take(f.Context(), t)
	f.no("Take", err)
	return taken
}

// taken takes what is wanted, in that order, and nothing else.
func (f *fixture) taken(what string, t job.Take, more bool, want ...job.Envelope) {
	f.Helper()
	got := f.take(t)
	f.same(what+": jobs", refs(got.Jobs), refs(want))
	f.same(what+": more", got.More, more)
}

func refs(jobs []job.Envelope) []job.Ref {
	list := []job.Ref{}
	for i := range jobs {
		list = append(list, jobs[i].Ref())
	}
	return list
}

// sorted returns refs in one order, and never nil.
func sorted(list []job.Ref) []job.Ref {
	list = slices.AppendSeq([]job.Ref{}, slices.Values(list))
	slices.SortFunc(list, func(a, b job.Ref) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.DispatchID, b.DispatchID))
	})
	return list
}

// lose makes refs, which must be leased for a millisecond, lost.
func (f *fixture) lose(refs ...job.Ref) {
	f.Helper()
	devtest.Until(f, patience, "the leases to end", func() (bool, error) {
		lost := f.reap()
		for _, ref := range refs {
			if !slices.Contains(lost, ref) {
				return false, nil
			}
		}
		return true, nil
	})
}

// leased says which of refs are leased, without saying for how long: beat renews
// them for an hour.
func (f *fixture) leased(epoch int64, refs ...job.Ref) []job.Ref {
	f.Helper()
	gone, _, err := f.leases.Beat(f.Context(), f.name, epoch, time.Hour, refs)
	f.no("Beat", err)
	return slices.DeleteFunc(sorted(refs), func(ref job.Ref) bool { return slices.Contains(gone, ref) })
}
