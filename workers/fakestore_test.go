package workers

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/penguinmails/rookery/job"
)

// The Store half of a memory: Postgres.

func (m *memory) Reconcile(ctx context.Context, workerID string, outcomes []job.Outcome) ([]job.Verdict, error) {
	if err := m.call(ctx, "reconcile", ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.batches = append(m.batches, append([]job.Outcome(nil), outcomes...))
	verdicts, err := m.reconcileLocked(workerID, outcomes)
	m.mu.Unlock()
	if lost := m.reply("reconcile"); err == nil && lost != nil {
		return nil, lost
	}
	return verdicts, err
}

// reconcileLocked records the starts and then the others: two statements, as in db.
func (m *memory) reconcileLocked(workerID string, outcomes []job.Outcome) (verdicts []job.Verdict, err error) {
	seen := map[job.Ref]bool{}
	for _, o := range outcomes {
		if seen[o.Ref] {
			return nil, &job.DataError{SQLState: "21000", Message: "two outcomes for attempt " + o.Ref.String()}
		}
		seen[o.Ref] = true
		if m.refuse != nil {
			if err := m.refuse(o); err != nil {
				return nil, err
			}
		}
	}
	for _, start := range []bool{true, false} {
		for _, o := range outcomes {
			if !start && o.Kind != job.Started && !storable(o.Error+o.Stack) {
				return nil, fmt.Errorf("reconcile: %w", &job.DataError{SQLState: "22021", Message: "invalid byte sequence"})
			}
		}
		for _, o := range outcomes {
			if start != (o.Kind == job.Started) {
				continue
			}
			if status, accepted := m.judgeLocked(workerID, o); accepted {
				verdicts = append(verdicts, job.Verdict{Ref: o.Ref, Status: status})
			}
		}
	}
	return verdicts, nil
}

func (m *memory) judgeLocked(workerID string, o job.Outcome) (now job.Status, accepted bool) {
	status, current := m.rows[o.Ref]
	if !current || o.Kind == job.Started && status != job.Dispatched {
		return "", false
	}
	row := m.jobs[o.Ref.ID]
	row.WorkerID = workerID
	switch o.Kind {
	case job.Started:
		row.Status = job.Running
	case job.Succeeded:
		row.Status = job.Completed
	case job.Snoozed:
		row.Status = job.Queued
	case job.CalledOff:
		row.Status = job.Cancelled
	case job.Discarded:
		row.Status = job.Dead
		row.FailureCount++
	case job.Failed:
		row.Status = job.Queued
		if row.FailureCount++; row.FailureCount >= row.MaxAttempts {
			row.Status = job.Dead
		}
	}
	if o.Kind == job.Started {
		m.rows[o.Ref], m.started[o.Ref] = row.Status, true
	} else {
		delete(m.rows, o.Ref)
		m.ended[o.Ref] = o
		if o.Error != "" {
			row.LastError = o.Error
		}
	}
	m.jobs[o.Ref.ID] = row
	return row.Status, true
}

func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

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

func (m *memory) Retire(ctx context.Context, id string) error {
	if err := m.call(ctx, "retire", ""); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.living, id)
	m.retired = true
	return nil
}

// quieted is the process that an order to be quiet is for.
type quieted struct {
	id   string
	life int64
}

// Beat is the Store's; the leases' Beat lives on leasesOf.
func (m *memory) Beat(ctx context.Context, p job.Process) (job.Heard, error) {
	if err := m.call(ctx, "process", ""); err != nil {
		return job.Heard{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	who := quieted{p.ID, p.Life}
	m.quiet[who] = p.Quiet || m.quiet[who]
	m.process, m.living[p.ID] = p, true
	epochs := map[string]int64{}
	for q, e := range m.truth {
		epochs[q] = e
	}
	return job.Heard{Epochs: epochs, Quiet: m.quiet[who]}, nil
}
