package workers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// The Queue and Leases halves of a memory: Redis.

func (m *memory) Take(ctx context.Context, t job.Take) (job.Taken, error) {
	if err := m.call(ctx, "take", fmt.Sprintf(" %s %d", t.QueueName, t.Epoch)); err != nil {
		return job.Taken{}, err
	}
	if t.Token == "" || t.WorkerID == "" || t.Limit < 1 || t.Limit > job.MaxBatch || t.Lease < time.Millisecond {
		return job.Taken{}, fmt.Errorf("not a take: %+v", t)
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
	key := t.QueueName + " " + t.WorkerID
	if r := m.receipts[key]; r.token == t.Token {
		return m.answerLocked(t, r), nil
	}
	if m.paused[t.QueueName] {
		m.bells[t.QueueName] = 0
		return job.Taken{}, nil
	}
	r := receipt{token: t.Token}
	window, broken := m.window[t.QueueName], m.broken[t.QueueName]
	for ; len(broken) > 0 && len(r.broken) < t.Limit; broken = broken[1:] {
		r.broken = append(r.broken, broken[0])
		m.leases[broken[0]] = time.Now().Add(t.Lease)
	}
	for ; len(window) > 0 && len(r.broken)+len(r.jobs) < t.Limit; window = window[1:] {
		ref := window[0].Ref()
		if _, leased := m.leases[ref]; leased || m.lost[ref] || m.cancelled[ref] {
			continue // a copy that is not to be run
		}
		r.jobs = append(r.jobs, window[0])
		m.leases[ref] = time.Now().Add(t.Lease)
	}
	m.window[t.QueueName], m.broken[t.QueueName] = window, broken
	left := len(window) + len(broken)
	if len(r.jobs)+len(r.broken) > 0 {
		m.receipts[key] = r
	}
	if left == 0 {
		m.bells[t.QueueName] = 0
	}
	m.ringLocked(t.QueueName, left)
	return job.Taken{Jobs: r.jobs, Broken: r.broken, More: left > 0}, nil
}

// answerLocked gives again what of a receipt is still leased, renewed.
func (m *memory) answerLocked(t job.Take, r receipt) job.Taken {
	out := job.Taken{More: len(m.window[t.QueueName])+len(m.broken[t.QueueName]) > 0 && !m.paused[t.QueueName]}
	for _, e := range r.jobs {
		if m.renewLocked(e.Ref(), t.Lease) {
			out.Jobs = append(out.Jobs, e)
		}
	}
	for _, ref := range r.broken {
		if m.renewLocked(ref, t.Lease) {
			out.Broken = append(out.Broken, ref)
		}
	}
	return out
}

func (m *memory) renewLocked(ref job.Ref, lease time.Duration) bool {
	_, leased := m.leases[ref]
	if leased {
		m.leases[ref] = time.Now().Add(lease)
	}
	return leased
}

func (m *memory) Wait(ctx context.Context, queues []string, d time.Duration) (rang []string, err error) {
	if d <= 0 {
		return m.look(ctx, queues)
	}
	if err := m.call(ctx, "wait", ""); err != nil {
		return nil, err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		heard, rung := m.listen(queues)
		if heard != "" {
			return []string{heard}, nil
		}
		select {
		case <-rung:
		case <-t.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look returns the queues whose bell has a token, and takes none.
func (m *memory) look(ctx context.Context, queues []string) (rang []string, err error) {
	if err := m.call(ctx, "look", ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range queues {
		if m.bells[q] > 0 {
			rang = append(rang, q)
		}
	}
	return rang, nil
}

// listen takes a token off one of the bells, or returns what is closed when one rings.
func (m *memory) listen(queues []string) (heard string, rung <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range queues {
		if m.bells[q] > 0 {
			m.bells[q]--
			return q, nil
		}
	}
	return "", m.rung
}

func (m *memory) Release(ctx context.Context, queue string, epoch int64, jobs []job.Envelope) error {
	if err := m.call(ctx, "release", ""); err != nil || len(jobs) == 0 {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.staleLocked(queue, epoch); err != nil {
		return err
	}
	var back []job.Envelope
	for _, e := range jobs {
		if _, ok := m.leases[e.Ref()]; ok {
			delete(m.leases, e.Ref())
			m.released = append(m.released, e.Ref())
			back = append(back, e)
		}
	}
	m.window[queue] = banded(slices.Concat(back, m.window[queue]))
	m.ringLocked(queue, len(back))
	return nil
}

func (m *memory) Register(ctx context.Context, p job.Process) error {
	if err := m.call(ctx, "register", ""); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown[p.ID] = true
	return nil
}

// leasesOf is the Leases half of a memory.
type leasesOf struct{ *memory }

func (m leasesOf) Beat(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (gone, cancelled []job.Ref, err error) {
	if err := m.call(ctx, "beat", fmt.Sprintf(" %s %d", queue, epoch)); err != nil || len(refs) == 0 {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if refs[0] != (job.Ref{}) { // a beat for nobody only asks whether Redis is there
		m.beats = append(m.beats, len(refs))
	}
	if err := m.staleLocked(queue, epoch); err != nil {
		return nil, nil, err
	}
	for _, r := range refs {
		switch {
		case !m.renewLocked(r, lease):
			gone = append(gone, r)
		case m.memory.cancelled[r]:
			cancelled = append(cancelled, r)
		}
	}
	return gone, cancelled, nil
}

func (m leasesOf) Announce(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (refused []job.Ref, err error) {
	if err := m.call(ctx, "announce", fmt.Sprintf(" %s %d", queue, epoch)); err != nil || len(refs) == 0 {
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
	if err := m.call(ctx, "ack", fmt.Sprintf(" %s %d", queue, epoch)); err != nil || len(refs) == 0 {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.staleLocked(queue, epoch); err != nil {
		return err
	}
	for _, r := range refs {
		delete(m.memory.leases, r)
		delete(m.memory.cancelled, r)
	}
	return nil
}
