package workers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// memory is Postgres and Redis in one process, as the ports describe them: guarded
// outcomes, epochs, leases that end by the clock, tokens. Its faults are hooks.
type memory struct {
	mu        sync.Mutex
	rows      map[job.Ref]job.Status // current attempts; a row that is over is gone
	ended     map[job.Ref]job.Outcome
	started   map[job.Ref]bool
	truth     map[string]int64 // Postgres' epochs
	epoch     map[string]int64 // Redis'
	window    map[string][]job.Envelope
	broken    map[string][]job.Ref
	leases    map[job.Ref]time.Time
	lost      map[job.Ref]bool
	cancelled map[job.Ref]bool
	tokens    map[string][]job.Envelope
	bell      chan struct{}

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
}

func newMemory() *memory {
	return &memory{
		rows: map[job.Ref]job.Status{}, ended: map[job.Ref]job.Outcome{}, started: map[job.Ref]bool{},
		truth: map[string]int64{"q": 1}, epoch: map[string]int64{"q": 1},
		window: map[string][]job.Envelope{}, broken: map[string][]job.Ref{},
		leases: map[job.Ref]time.Time{}, lost: map[job.Ref]bool{}, cancelled: map[job.Ref]bool{},
		tokens: map[string][]job.Envelope{}, bell: make(chan struct{}, 64),
	}
}

// push puts jobs into the window of q, as a relay does.
func (m *memory) push(queue string, jobs ...job.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range jobs {
		e.QueueName = queue
		m.rows[e.Ref()] = job.Dispatched
		m.window[queue] = append(m.window[queue], e)
	}
	select {
	case m.bell <- struct{}{}:
	default:
	}
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
	if m.epoch[queue] != epoch {
		return fmt.Errorf("script: %w", &job.StaleError{Epoch: m.epoch[queue]})
	}
	return nil
}

func (m *memory) Take(ctx context.Context, t job.Take) (job.Taken, error) {
	if err := m.call(ctx, "take", fmt.Sprintf(" %s %d", t.QueueName, t.Epoch)); err != nil {
		return job.Taken{}, err
	}
	m.mu.Lock()
	m.takes = append(m.takes, t)
	taken, err := m.takeLocked(t)
	m.mu.Unlock()
	if lost := m.reply("take"); err == nil && lost != nil {
		return job.Taken{}, lost
	}
	return taken, err
}

func (m *memory) takeLocked(t job.Take) (job.Taken, error) {
	if err := m.staleLocked(t.QueueName, t.Epoch); err != nil {
		return job.Taken{}, err
	}
	jobs, again := m.tokens[t.Token]
	if !again {
		n := min(t.Limit, len(m.window[t.QueueName]))
		jobs = m.window[t.QueueName][:n:n]
		m.window[t.QueueName] = m.window[t.QueueName][n:]
		m.tokens[t.Token] = jobs
	}
	out := job.Taken{More: len(m.window[t.QueueName]) > 0}
	for _, e := range jobs {
		if _, leased := m.leases[e.Ref()]; again && !leased || m.cancelled[e.Ref()] {
			continue
		}
		m.leases[e.Ref()] = time.Now().Add(t.Lease)
		out.Jobs = append(out.Jobs, e)
	}
	for _, r := range m.broken[t.QueueName] {
		m.leases[r] = time.Now().Add(t.Lease)
		out.Broken = append(out.Broken, r)
	}
	delete(m.broken, t.QueueName)
	return out, nil
}

func (m *memory) Wait(ctx context.Context, _ []string, d time.Duration) error {
	if err := m.call(ctx, "wait", ""); err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-m.bell:
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (m *memory) Release(ctx context.Context, queue string, epoch int64, jobs []job.Envelope) error {
	if err := m.call(ctx, "release", ""); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.staleLocked(queue, epoch); err != nil {
		return err
	}
	for _, e := range jobs {
		if _, ok := m.leases[e.Ref()]; ok {
			delete(m.leases, e.Ref())
			m.released = append(m.released, e.Ref())
			m.window[queue] = append([]job.Envelope{e}, m.window[queue]...)
		}
	}
	return nil
}

func (m *memory) Register(ctx context.Context, _ job.Process) error {
	return m.call(ctx, "register", "")
}

func (m *memory) Reconcile(ctx context.Context, _ string, outcomes []job.Outcome) ([]job.Verdict, error) {
	if err := m.call(ctx, "reconcile", ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.batches = append(m.batches, append([]job.Outcome(nil), outcomes...))
	verdicts, err := m.reconcileLocked(outcomes)
	m.mu.Unlock()
	if lost := m.reply("reconcile"); err == nil && lost != nil {
		return nil, lost
	}
	return verdicts, err
}

func (m *memory) reconcileLocked(outcomes []job.Outcome) (verdicts []job.Verdict, err error) {
	seen := map[job.Ref]bool{}
	for _, o := range outcomes {
		if seen[o.Ref] {
			return nil, fmt.Errorf("two outcomes of %s in one batch", o.Ref)
		}
		seen[o.Ref] = true
		if m.refuse != nil {
			if err := m.refuse(o); err != nil {
				return nil, err
			}
		}
	}
	for _, o := range outcomes {
		status, current := m.rows[o.Ref]
		if !current || o.Kind == job.Started && status != job.Dispatched {
			continue
		}
		next := map[job.OutcomeKind]job.Status{
			job.Started: job.Running, job.Succeeded: job.Completed, job.Failed: job.Queued,
			job.Snoozed: job.Queued, job.Discarded: job.Dead, job.CalledOff: job.Cancelled,
		}[o.Kind]
		verdicts = append(verdicts, job.Verdict{Ref: o.Ref, Status: next})
		if o.Kind == job.Started {
			m.rows[o.Ref], m.started[o.Ref] = next, true
			continue
		}
		delete(m.rows, o.Ref)
		m.ended[o.Ref] = o
	}
	return verdicts, nil
}

func (m *memory) Verify(ctx context.Context, refs []job.Ref) (current []job.Ref, err error) {
	if err := m.call(ctx, "verify", ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range refs {
		if _, ok := m.rows[r]; ok {
			current = append(current, r)
		}
	}
	return current, nil
}

func (m *memory) Retire(context.Context, string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retired = true
	return nil
}

// Beat is the Store's; the leases' Beat lives on leasesOf.
func (m *memory) Beat(ctx context.Context, p job.Process) (map[string]int64, error) {
	if err := m.call(ctx, "process", ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process = p
	epochs := map[string]int64{}
	for q, e := range m.truth {
		epochs[q] = e
	}
	return epochs, nil
}

// leasesOf is the Leases half of a memory.
type leasesOf struct{ *memory }

func (m leasesOf) Beat(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (gone, cancelled []job.Ref, err error) {
	if err := m.call(ctx, "beat", fmt.Sprintf(" %s %d", queue, epoch)); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beats = append(m.beats, len(refs))
	if err := m.staleLocked(queue, epoch); err != nil {
		return nil, nil, err
	}
	for _, r := range refs {
		if _, ok := m.memory.leases[r]; !ok {
			gone = append(gone, r)
			continue
		}
		m.memory.leases[r] = time.Now().Add(lease)
		if m.memory.cancelled[r] {
			cancelled = append(cancelled, r)
		}
	}
	return gone, cancelled, nil
}

func (m leasesOf) Announce(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (refused []job.Ref, err error) {
	if err := m.call(ctx, "announce", fmt.Sprintf(" %s %d", queue, epoch)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.staleLocked(queue, epoch); err != nil {
		return nil, err
	}
	for _, r := range refs {
		if m.memory.lost[r] {
			refused = append(refused, r)
			continue
		}
		m.memory.leases[r] = time.Now().Add(lease)
	}
	return refused, nil
}

func (m leasesOf) Ack(ctx context.Context, queue string, epoch int64, refs []job.Ref) error {
	if err := m.call(ctx, "ack", fmt.Sprintf(" %s %d", queue, epoch)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.staleLocked(queue, epoch); err != nil {
		return err
	}
	for _, r := range refs {
		delete(m.memory.leases, r)
	}
	return nil
}
