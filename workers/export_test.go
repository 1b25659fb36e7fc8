package workers

import (
	"maps"
	"slices"

	"github.com/penguinmails/rookery/job"
)

// Fake is a memory for the conformance suite, which stands outside of this package:
// the three ports, and what relays, producers and time do to one queue. The real
// servers have the same hands in conformance_real_test.go.
type Fake struct {
	m    *memory
	name string
}

// NewFake returns a Fake whose queue is open in epoch 1.
func NewFake() Fake { return Fake{m: newMemory(), name: "q"} }

// Name returns the name of the queue.
func (f Fake) Name() string { return f.name }

// Ports returns the fakes.
func (f Fake) Ports() (Store, Queue, Leases) { return f.m, f.m, leasesOf{f.m} }

// Dispatch makes n jobs, dispatched in the truth. The window hears nothing.
func (f Fake) Dispatch(n int, maxAttempts int16) []job.Envelope {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	jobs, dispatchID := make([]job.Envelope, n), job.NewDispatchID()
	for i := range jobs {
		id := int64(len(f.m.jobs) + 1)
		jobs[i] = job.Envelope{ID: id, DispatchID: dispatchID, QueueName: f.name, MaxAttempts: maxAttempts}
		f.m.dispatchLocked(jobs[i])
	}
	return jobs
}

// Job returns what the truth says of a job.
func (f Fake) Job(id int64) job.Job {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.jobs[id]
}

// Cancel cancels an attempt in the truth alone.
func (f Fake) Cancel(ref job.Ref) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	delete(f.m.rows, ref)
	row := f.m.jobs[ref.ID]
	row.Status = job.Cancelled
	f.m.jobs[ref.ID] = row
}

// Begin begins the next epoch in the truth.
func (f Fake) Begin() int64 {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.truth[f.name]++
	return f.m.truth[f.name]
}

// Living returns the processes in the list of the living.
func (f Fake) Living() []string {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return slices.Sorted(maps.Keys(f.m.living))
}

// Open opens an epoch of a queue in the window.
func (f Fake) Open(queue string, epoch int64) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.epoch[queue], f.m.replaced[queue], f.m.bells[queue] = epoch, false, 0
	delete(f.m.window, queue)
	delete(f.m.broken, queue)
	clear(f.m.cancelled)
}

// Push puts jobs of one dispatch into the window alone.
func (f Fake) Push(jobs ...job.Envelope) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.fillLocked(jobs[0].QueueName, jobs)
}

// PushBroken puts an envelope that has a head only into the window.
func (f Fake) PushBroken(ref job.Ref) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.broken[f.name] = append(f.m.broken[f.name], ref)
}

// Pause pauses the queue in the window, or lets it go on.
func (f Fake) Pause(paused bool) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.paused[f.name] = paused
	f.m.ringLocked(f.name, len(f.m.window[f.name]))
}

// CallOff calls attempts off in the window alone.
func (f Fake) CallOff(refs ...job.Ref) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	for _, ref := range refs {
		f.m.cancelled[ref] = true
	}
}

// Reap moves ended leases to lost and returns what is in lost.
func (f Fake) Reap() []job.Ref { return f.m.reap() }

// Replace makes the window another process, which holds the same epoch.
func (f Fake) Replace() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.replaced[f.name] = true
}

// Shown returns the workers in the registry.
func (f Fake) Shown() []string {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return slices.Sorted(maps.Keys(f.m.shown))
}

// Insert makes n due jobs for whoever claims them.
func (f Fake) Insert(n int) {
	for range n {
		f.m.mu.Lock()
		id := int64(len(f.m.jobs) + 1)
		f.m.mu.Unlock()
		f.m.insert(f.name, job.Envelope{ID: id, MaxAttempts: job.DefaultMaxAttempts})
	}
}

// TakeBackHeld takes back what is held in the truth beyond its lease.
func (f Fake) TakeBackHeld() []job.Ref { return f.m.takeBackHeld() }
