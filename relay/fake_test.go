package relay_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// fakeWindow is a Redis in memory that a test can stop, fill, replace and set the
// clock of. It passes the same suite as the real one.
type fakeWindow struct {
	mu      sync.Mutex
	process int           // the life
	skew    time.Duration // of its clock
	fails   error         // what every call is answered; nil: it works
	lose    int           // so many pushes are carried out and not answered
	queues  map[string]*fakeQueue
}

type fakeQueue struct {
	epoch, seq int64
	process    int
	paused     bool
	bands      [3][]job.Envelope // in the order of taking
	leases     map[job.Ref]int64 // deadlines
	lost       map[job.Ref]int64
	batches    map[int64]int64
	cancelled  map[job.Ref]bool
	releases   int64
}

var (
	_ relay.Redis  = (*fakeWindow)(nil)
	_ relay.Source = deaf{}
)

func newFakeWindow() *fakeWindow { return &fakeWindow{queues: map[string]*fakeQueue{}} }

// set changes the fake between two calls.
func (f *fakeWindow) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeWindow) nowLocked() int64 { return time.Now().Add(f.skew).UnixMilli() }

func (q *fakeQueue) depth() int64 {
	return int64(len(q.bands[0]) + len(q.bands[1]) + len(q.bands[2]))
}

// guardLocked is what every changing script does first.
func (f *fakeWindow) guardLocked(queue string, epoch int64) (*fakeQueue, error) {
	if f.fails != nil {
		return nil, f.fails
	}
	q := f.queues[queue]
	if q == nil {
		return nil, &job.StaleError{}
	}
	if q.epoch != epoch || q.process != f.process {
		return nil, &job.StaleError{Epoch: q.epoch}
	}
	return q, nil
}

func (f *fakeWindow) Push(_ context.Context, p job.Push) (job.Pushed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(p.QueueName, p.Epoch)
	if err != nil {
		return job.Pushed{}, err
	}
	now := f.nowLocked()
	if q.seq < p.KnownSeq {
		return job.Pushed{}, job.ErrBehind
	}
	if seq, noted := q.batches[p.DispatchID]; noted {
		return job.Pushed{Seq: seq, Depth: q.depth(), Now: now, Dup: true}, nil
	}
	if now > p.Deadline {
		return job.Pushed{}, job.ErrLate
	}
	for _, id := range p.Forget {
		delete(q.batches, id)
	}
	for b := range q.bands {
		var fresh, lost []job.Envelope
		for _, e := range p.Jobs {
			if int(job.BandOf(e.Priority)) != b {
				continue
			}
			if e.LostCount > 0 {
				lost = append(lost, e)
			} else {
				fresh = append(fresh, e)
			}
		}
		q.bands[b] = slices.Concat(lost, q.bands[b], fresh)
	}
	q.seq++
	q.batches[p.DispatchID] = q.seq
	if f.lose > 0 {
		f.lose--
		return job.Pushed{}, job.ErrUnavailable
	}
	return job.Pushed{Seq: q.seq, Depth: q.depth(), Now: now}, nil
}

func (f *fakeWindow) OpenEpoch(_ context.Context, queue string, epoch int64, paused bool) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return 0, f.fails
	}
	q := f.queues[queue]
	if q == nil {
		q = &fakeQueue{leases: map[job.Ref]int64{}, lost: map[job.Ref]int64{}}
		f.queues[queue] = q
	} else if q.epoch == epoch && q.process == f.process {
		return epoch, nil
	} else if q.epoch >= epoch {
		return q.epoch, &job.StaleError{Epoch: q.epoch}
	}
	q.epoch, q.process, q.paused, q.seq = epoch, f.process, paused, 0
	q.bands, q.batches, q.cancelled = [3][]job.Envelope{}, map[int64]int64{}, map[job.Ref]bool{}
	return epoch, nil
}

func (f *fakeWindow) Census(_ context.Context, c job.Census) (job.Window, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(c.QueueName, c.Epoch)
	if err != nil {
		return job.Window{}, err
	}
	if q.seq < c.KnownSeq {
		return job.Window{}, job.ErrBehind
	}
	for _, id := range c.Forget {
		delete(q.batches, id)
	}
	q.paused = c.Paused
	w := job.Window{Epoch: q.epoch, Seq: q.seq, Paused: q.paused, Leased: int64(len(q.leases)), Lost: int64(len(q.lost)), Now: f.nowLocked()}
	for b := range q.bands {
		w.Waiting[b] = int64(len(q.bands[b]))
	}
	return w, nil
}

func (f *fakeWindow) Cancel(_ context.Context, queue string, epoch int64, refs []job.Ref) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return err
	}
	for _, r := range refs {
		q.cancelled[r] = true
	}
	return nil
}

func (f *fakeWindow) Expired(_ context.Context, queue string, epoch, late int64, limit int) (out []job.LostAttempt, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return nil, err
	}
	if f.nowLocked() > late {
		return nil, job.ErrLate
	}
	for r, deadline := range q.leases {
		if deadline <= f.nowLocked() {
			delete(q.leases, r)
			q.lost[r] = deadline
		}
	}
	for r, score := range q.lost {
		if len(out) < limit {
			out = append(out, job.LostAttempt{Ref: r, Counts: score > 0})
		}
	}
	return out, nil
}

func (f *fakeWindow) Missing(_ context.Context, queue string, epoch int64, refs []job.Ref) (out []job.LostAttempt, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		_, leased := q.leases[r]
		score, lost := q.lost[r]
		if !leased && !lost {
			q.lost[r], lost = 0, true
		}
		if lost {
			out = append(out, job.LostAttempt{Ref: r, Counts: score > 0})
		}
	}
	return out, nil
}

func (f *fakeWindow) Drop(_ context.Context, queue string, epoch int64, refs []job.Ref) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return err
	}
	for _, r := range refs {
		delete(q.leases, r)
		delete(q.lost, r)
	}
	return nil
}

// Take and Beat are the worker's side, as far as the tests need it.
func (f *fakeWindow) Take(_ context.Context, t job.Take) (out job.Taken, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(t.QueueName, t.Epoch)
	if err != nil || q.paused {
		return out, err
	}
	for b := range q.bands {
		for len(q.bands[b]) > 0 && len(out.Jobs) < t.Limit {
			e := q.bands[b][0]
			q.bands[b] = q.bands[b][1:]
			_, leased := q.leases[e.Ref()]
			_, lost := q.lost[e.Ref()]
			if !leased && !lost && !q.cancelled[e.Ref()] {
				out.Jobs = append(out.Jobs, e)
				q.leases[e.Ref()] = f.nowLocked() + t.Lease.Milliseconds()
			}
		}
	}
	return out, nil
}

func (f *fakeWindow) Beat(_ context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (gone, cancelled []job.Ref, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range refs {
		switch _, leased := q.leases[r]; {
		case !leased:
			gone = append(gone, r)
		default:
			q.leases[r] = f.nowLocked() + lease.Milliseconds()
			if q.cancelled[r] {
				cancelled = append(cancelled, r)
			}
		}
	}
	return gone, cancelled, nil
}
