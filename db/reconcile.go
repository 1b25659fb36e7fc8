package db

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Reconcile records the outcomes of a worker and returns a verdict for each it
// accepted; the others' attempts are over. It refuses, as bugs of the caller, two
// outcomes of one attempt and an outcome it does not know. Starts are recorded by a
// statement of their own, before the others; a start that does not come back says
// nothing about its attempt. The error is a [*job.BusyError] when some of the jobs, and
// not all, are locked by others.
func (s *Store) Reconcile(ctx context.Context, workerID string, outcomes []job.Outcome) ([]job.Verdict, error) {
	out, err := s.reconcile(ctx, workerID, outcomes)
	if errors.Is(err, job.ErrConflict) && len(outcomes) > 1 {
		ids := make([]int64, len(outcomes))
		for i, o := range outcomes {
			ids[i] = o.Ref.ID
		}
		if busy := s.busy(ctx, ids); busy != nil {
			return nil, fmt.Errorf("reconcile: %w", busy)
		}
	}
	return out, err
}

// busy says which of ids others have locked. It returns nil when that is none of them
// any more, or all, and when Postgres does not say.
func (s *Store) busy(ctx context.Context, ids []int64) *job.BusyError {
	free := make(map[int64]bool, len(ids))
	err := s.do(ctx, "look for locks", func(q *query.Queries) error {
		found, err := q.FreeJobs(ctx, ids)
		for _, id := range found {
			free[id] = true
		}
		return err
	})
	if err != nil || len(free) == 0 {
		return nil
	}
	var busy job.BusyError
	for _, id := range ids {
		if !free[id] {
			busy.IDs = append(busy.IDs, id)
		}
	}
	if len(busy.IDs) == 0 {
		return nil
	}
	return &busy
}

func (s *Store) reconcile(ctx context.Context, workerID string, outcomes []job.Outcome) ([]job.Verdict, error) {
	sorted := slices.SortedFunc(slices.Values(outcomes), func(a, b job.Outcome) int {
		return cmp.Or(cmp.Compare(a.Ref.ID, b.Ref.ID), cmp.Compare(a.Ref.DispatchID, b.Ref.DispatchID))
	})
	var (
		ends   = query.ReconcileParams{WorkerID: workerID}
		starts = query.MarkRunningParams{WorkerID: workerID}
	)
	for i, o := range sorted {
		if i > 0 && sorted[i-1].Ref == o.Ref {
			return nil, &job.DataError{SQLState: "21000", Message: "two outcomes for attempt " + o.Ref.String()}
		}
		ran := min(max(o.Ran, 0), job.MaxDelay).Microseconds()
		switch o.Kind {
		case job.Started:
			starts.JobIDs = append(starts.JobIDs, o.Ref.ID)
			starts.DispatchIDs = append(starts.DispatchIDs, o.Ref.DispatchID)
			starts.RanUs = append(starts.RanUs, ran)
			continue
		case job.Succeeded, job.Failed, job.Snoozed, job.Discarded, job.CalledOff:
		default:
			return nil, &job.DataError{SQLState: "22023", Message: fmt.Sprintf("attempt %s: no outcome is called %q", o.Ref, o.Kind)}
		}
		ends.JobIDs = append(ends.JobIDs, o.Ref.ID)
		ends.DispatchIDs = append(ends.DispatchIDs, o.Ref.DispatchID)
		ends.Outcomes = append(ends.Outcomes, string(o.Kind))
		ends.DelaysMs = append(ends.DelaysMs, job.ClampDelay(o.Delay).Milliseconds())
		ends.RanUs = append(ends.RanUs, ran)
		ends.Errors = append(ends.Errors, o.Error)
		ends.Stacks = append(ends.Stacks, o.Stack)
	}
	out := make([]job.Verdict, 0, len(outcomes))
	if len(starts.JobIDs) > 0 {
		err := s.do(ctx, "mark running", func(q *query.Queries) error {
			rows, err := q.MarkRunning(ctx, starts)
			for _, row := range rows {
				out = append(out, verdict(row.ID, row.DispatchID, string(job.Running)))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(ends.JobIDs) == 0 {
		return out, nil
	}
	err := s.do(ctx, "reconcile", func(q *query.Queries) error {
		rows, err := q.Reconcile(ctx, ends)
		for _, row := range rows {
			out = append(out, verdict(row.ID, row.DispatchID, row.Status))
		}
		return err
	})
	return out, err
}

// Verify returns those of refs that are current.
func (s *Store) Verify(ctx context.Context, refs []job.Ref) ([]job.Ref, error) {
	ids, dispatches := refArrays(refs)
	var out []job.Ref
	err := s.do(ctx, "verify", func(q *query.Queries) error {
		rows, err := q.VerifyAttempts(ctx, query.VerifyAttemptsParams{JobIDs: ids, DispatchIDs: dispatches})
		for _, row := range rows {
			out = append(out, verdict(row.ID, row.DispatchID, "").Ref)
		}
		return err
	})
	return out, err
}

// Beat says that a process lives, and returns the epoch of every queue. A relay's
// also forgets processes that have been silent for an hour.
func (s *Store) Beat(ctx context.Context, p job.Process) (map[string]int64, error) {
	epochs, err := json.Marshal(p.Epochs)
	if err != nil || p.Epochs == nil {
		epochs = json.RawMessage(`{}`)
	}
	out := map[string]int64{}
	err = s.do(ctx, "beat", func(q *query.Queries) error {
		if p.Role == "relay" { // somebody must forget those that never said goodbye
			if _, err := q.RetireSilentProcesses(ctx); err != nil {
				return err
			}
		}
		rows, err := q.BeatProcess(ctx, query.BeatProcessParams{ID: p.ID, Role: p.Role, Host: p.Host, Pid: int32(p.PID), RedisOk: p.RedisOK, Epochs: epochs})
		for _, row := range rows {
			out[row.Name] = row.Epoch
		}
		return err
	})
	return out, err
}

// Retire takes a process out of the list of the living.
func (s *Store) Retire(ctx context.Context, id string) error {
	return s.do(ctx, "retire", func(q *query.Queries) error {
		return q.RetireProcess(ctx, id)
	})
}

func verdict(id int64, dispatchID *int64, status string) job.Verdict {
	v := job.Verdict{Ref: job.Ref{ID: id}, Status: job.Status(status)}
	if dispatchID != nil {
		v.Ref.DispatchID = *dispatchID
	}
	return v
}
