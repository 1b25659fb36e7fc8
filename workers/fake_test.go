package workers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// memory is Postgres and Redis in one process, as the ports describe them: guarded
// outcomes, epochs, leases that end by the clock, tokens. Its faults are hooks. What
// it does the real ones do too: TestConformance asks both the same questions.
type memory struct {
	mu        sync.Mutex
	rows      map[job.Ref]job.Status // current attempts; a row that is over is gone
	jobs      map[int64]job.Job      // what outcomes change, whether current or not
	ended     map[job.Ref]job.Outcome
	started   map[job.Ref]bool
	living    map[string]bool  // outbox.processes
	quiet     map[quieted]bool // outbox.processes.quiet
	truth     map[string]int64 // Postgres' epochs
	epoch     map[string]int64 // Redis'
	replaced  map[string]bool  // this Redis is another process than the epoch was opened in
	paused    map[string]bool
	window    map[string][]job.Envelope // in the order in which they are taken
	broken    map[string][]job.Ref
	leases    map[job.Ref]time.Time
	lost      map[job.Ref]bool
	cancelled map[job.Ref]bool
	receipts  map[string]receipt // by queue and worker
	bells     map[string]int     // tokens by queue
	rung      chan struct{}      // closed, and made anew, when a bell rings
	shown     map[string]bool    // the registry
	holdings  map[int64]holding  // ledger rows with a lease, by dispatch
	backlog   map[string][]job.Envelope
	claimed   map[int64]job.Envelope

	// What was asked.
	log      []string
	batches  [][]job.Outcome
	beats    []int
	takes    []job.Take
	released []job.Ref
	process  job.Process
	retired  bool

	// before may refuse a call; after may lose its answer. Both may be nil.
	before, after func(call string) error
	// refuse makes Postgres refuse a value.
	refuse func(o job.Outcome) error
	// locked are jobs whose rows somebody has locked; Hold cannot move them.
	locked map[int64]bool
}

// receipt is what a worker's last take leased.
type receipt struct {
	token  string
	jobs   []job.Envelope
	broken []job.Ref
}

func newMemory() *memory {
	return &memory{
		rows: map[job.Ref]job.Status{}, jobs: map[int64]job.Job{}, ended: map[job.Ref]job.Outcome{}, started: map[job.Ref]bool{},
		living: map[string]bool{}, quiet: map[quieted]bool{}, truth: map[string]int64{"q": 1}, epoch: map[string]int64{"q": 1},
		replaced: map[string]bool{}, paused: map[string]bool{},
		window: map[string][]job.Envelope{}, broken: map[string][]job.Ref{},
		leases: map[job.Ref]time.Time{}, lost: map[job.Ref]bool{}, cancelled: map[job.Ref]bool{},
		receipts: map[string]receipt{}, bells: map[string]int{}, rung: make(chan struct{}), shown: map[string]bool{},
		holdings: map[int64]holding{}, backlog: map[string][]job.Envelope{}, claimed: map[int64]job.Envelope{},
	}
}

// push puts jobs into the truth and into the window of queue, as a relay does.
func (m *memory) push(queue string, jobs ...job.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range jobs {
		m.dispatchLocked(jobs[i])
	}
	m.fillLocked(queue, jobs)
}

func (m *memory) dispatchLocked(e job.Envelope) {
	m.rows[e.Ref()] = job.Dispatched
	m.jobs[e.ID] = job.Job{ID: e.ID, Status: job.Dispatched, FailureCount: e.FailureCount, MaxAttempts: e.MaxAttempts}
}

// fillLocked adds jobs behind those of their bands.
func (m *memory) fillLocked(queue string, jobs []job.Envelope) {
	list := m.window[queue]
	for _, e := range jobs {
		e.QueueName = queue
		list = append(list, e)
	}
	m.window[queue] = banded(list)
	m.ringLocked(queue, len(jobs))
}

// banded sorts by band and leaves the order within a band as it is.
func banded(jobs []job.Envelope) []job.Envelope {
	slices.SortStableFunc(jobs, func(a, b job.Envelope) int { return int(job.BandOf(a.Priority) - job.BandOf(b.Priority)) })
	return jobs
}

// ringLocked brings the bell to one token per waiting job, at most 64.
func (m *memory) ringLocked(queue string, waiting int) {
	if waiting = min(waiting, 64); m.paused[queue] || m.bells[queue] >= waiting {
		return
	}
	m.bells[queue] = waiting
	close(m.rung)
	m.rung = make(chan struct{})
}

// reap moves ended leases to lost, as a relay does, and returns what is in lost.
func (m *memory) reap() (lost []job.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for ref, end := range m.leases {
		if !end.After(now) {
			delete(m.leases, ref)
			m.lost[ref] = true
		}
	}
	for ref := range m.lost {
		lost = append(lost, ref)
	}
	return lost
}

func envelopes(kind string, from, n int64) []job.Envelope {
	list := make([]job.Envelope, n)
	for i := range list {
		list[i] = job.Envelope{ID: from + int64(i), DispatchID: 1000 + from + int64(i), Kind: kind, AttemptCount: 1, MaxAttempts: 3}
	}
	return list
}

func (m *memory) call(ctx context.Context, name, detail string) error {
	m.mu.Lock()
	m.log = append(m.log, name+detail)
	before := m.before
	m.mu.Unlock()
	if before != nil {
		if err := before(name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *memory) reply(name string) error {
	if m.after == nil {
		return nil
	}
	return m.after(name)
}

func (m *memory) staleLocked(queue string, epoch int64) error {
	if held := m.epoch[queue]; held != epoch || held == 0 || m.replaced[queue] {
		return fmt.Errorf("script: %w", &job.StaleError{Epoch: held})
	}
	return nil
}
