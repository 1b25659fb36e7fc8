package workers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// holding is a ledger row with a lease, in memory.
type holding struct {
	worker string
	until  time.Time
	ids    []int64
}

// Hold moves attempts as one statement does.
func (m *memory) Hold(ctx context.Context, h job.Hold) (held []int64, err error) {
	if err := m.call(ctx, "hold", ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	var busy job.BusyError
	for _, old := range h.Refs {
		if m.locked[old.ID] {
			busy.IDs = append(busy.IDs, old.ID)
		}
	}
	switch n := len(busy.IDs); {
	case n > 0 && n < len(h.Refs):
		m.mu.Unlock()
		return nil, fmt.Errorf("%w: %w", job.ErrUndone, &busy)
	case n > 0:
		m.mu.Unlock()
		return nil, fmt.Errorf("%w: %w", job.ErrUndone, job.ErrConflict)
	}
	for _, old := range h.Refs {
		ref := job.Ref{ID: old.ID, DispatchID: h.DispatchID}
		for _, at := range []job.Ref{old, ref} {
			if status, current := m.rows[at]; current {
				delete(m.rows, at)
				m.rows[ref] = status
				held = append(held, old.ID)
				break
			}
		}
	}
	if len(held) > 0 {
		m.holdings[h.DispatchID] = holding{worker: h.WorkerID, until: time.Now().Add(h.Lease), ids: held}
	}
	m.mu.Unlock()
	if lost := m.reply("hold"); lost != nil {
		return nil, lost
	}
	return held, nil
}

// Renew is the Holds'.
func (m *memory) Renew(ctx context.Context, workerID string, lease time.Duration, dispatches []int64) (current, cancelled []job.Ref, err error) {
	if err := m.call(ctx, "renew", ""); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range dispatches {
		h, ok := m.holdings[d]
		if !ok || h.worker != workerID {
			continue
		}
		h.until = time.Now().Add(lease)
		m.holdings[d] = h
		for _, id := range h.ids {
			ref := job.Ref{ID: id, DispatchID: d}
			if _, is := m.rows[ref]; is {
				current = append(current, ref)
			} else if m.jobs[id].Status == job.Cancelled {
				cancelled = append(cancelled, ref)
			}
		}
	}
	return current, cancelled, nil
}

// Claim hands out the backlog. The claim of a dispatch that it knows is answered again.
func (m *memory) Claim(ctx context.Context, c job.Claim) (b job.Batch, err error) {
	if err := m.call(ctx, "claim", ""); err != nil {
		return b, err
	}
	m.mu.Lock()
	b = job.Batch{QueueName: c.QueueName, DispatchID: c.DispatchID, Epoch: c.Epoch}
	h, known := m.holdings[c.DispatchID]
	switch {
	case c.Again && known:
		for _, id := range h.ids {
			e := m.claimed[id]
			if m.rows[e.Ref()] == job.Dispatched && e.DispatchID == c.DispatchID {
				b.Jobs = append(b.Jobs, e)
			}
		}
	case m.truth[c.QueueName] == c.Epoch && !m.paused[c.QueueName]:
		list := m.backlog[c.QueueName]
		due := slices.Clone(list)
		if c.SkipLocked {
			due = slices.DeleteFunc(due, func(e job.Envelope) bool { return m.locked[e.ID] })
		}
		due = due[:min(c.Limit, len(due))]
		if slices.ContainsFunc(due, func(e job.Envelope) bool { return m.locked[e.ID] }) {
			m.mu.Unlock()
			return job.Batch{}, job.ErrConflict
		}
		for _, e := range due {
			e.DispatchID = c.DispatchID
			m.dispatchLocked(e)
			m.claimed[e.ID] = e
			b.Jobs, h.ids = append(b.Jobs, e), append(h.ids, e.ID)
		}
		m.backlog[c.QueueName] = slices.DeleteFunc(slices.Clone(list), func(e job.Envelope) bool { return slices.Contains(h.ids, e.ID) })
		if len(due) > 0 {
			h.worker, h.until = c.WorkerID, time.Now().Add(c.Lease)
			m.holdings[c.DispatchID] = h
		}
	}
	m.mu.Unlock()
	if lost := m.reply("claim"); lost != nil {
		return job.Batch{}, lost
	}
	return b, nil
}

// insert puts jobs into the backlog of queue; no relay sees them.
func (m *memory) insert(queue string, jobs ...job.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range jobs {
		jobs[i].QueueName = queue
		m.jobs[jobs[i].ID] = job.Job{ID: jobs[i].ID, Status: job.Queued, MaxAttempts: jobs[i].MaxAttempts}
	}
	m.backlog[queue] = append(m.backlog[queue], jobs...)
}

// takeBackHeld takes back what is held beyond its lease, as a relay does.
func (m *memory) takeBackHeld() (back []job.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d, h := range m.holdings {
		if h.until.After(time.Now()) {
			continue
		}
		delete(m.holdings, d)
		for _, id := range h.ids {
			ref := job.Ref{ID: id, DispatchID: d}
			if _, current := m.rows[ref]; current {
				delete(m.rows, ref)
				row := m.jobs[id]
				row.Status = job.Queued
				m.jobs[id] = row
				back = append(back, ref)
			}
		}
	}
	return back
}
