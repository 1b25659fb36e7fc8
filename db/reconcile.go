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
// outcomes of one attempt and an outcome it does not know. Starts, successes and what
// else there is are recorded by a statement each; a start that does not come back says
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
	b, err := byStatement(workerID, outcomes)
	if err != nil {
		return nil, err
	}
	out := make([]job.Verdict, 0, len(outcomes))
	if len(b.starts.JobIDs) > 0 {
		err := s.do(ctx, "mark running", func(q *query.Queries) error {
			rows, err := q.MarkRunning(ctx, b.starts)
			for _, row := range rows {
				out = append(out, verdict(row.ID, row.DispatchID, string(job.Running)))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	// Before the successes: when a value of these is refused, the batch is sent again in
	// parts, and nothing of it has been recorded.
	if len(b.others.JobIDs) > 0 {
		err := s.do(ctx, "reconcile", func(q *query.Queries) error {
			rows, err := q.Reconcile(ctx, b.others)
			for _, row := range rows {
				out = append(out, verdict(row.ID, row.DispatchID, row.Status))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(b.successes.JobIDs) == 0 {
		return out, nil
	}
	err = s.do(ctx, "complete", func(q *query.Queries) error {
		ids, err := q.CompleteJobs(ctx, b.successes)
		slices.Sort(ids)
		for i, id := range b.successes.JobIDs {
			if _, ok := slices.BinarySearch(ids, id); ok {
				out = append(out, job.Verdict{Ref: job.Ref{ID: id, DispatchID: b.successes.DispatchIDs[i]}, Status: job.Completed})
			}
		}
		return err
	})
	return out, err
}

// statements is a batch of outcomes by the statement that records them, each in the
// order of ids.
type statements struct {
	starts    query.MarkRunningParams
	others    query.ReconcileParams
	successes query.CompleteJobsParams // at most one per job
}

func byStatement(workerID string, outcomes []job.Outcome) (statements, error) {
	sorted := slices.SortedFunc(slices.Values(outcomes), func(a, b job.Outcome) int {
		return cmp.Or(cmp.Compare(a.Ref.ID, b.Ref.ID), cmp.Compare(a.Ref.DispatchID, b.Ref.DispatchID))
	})
	s := statements{
		starts: query.MarkRunningParams{WorkerID: workerID}, others: query.ReconcileParams{WorkerID: workerID},
		successes: query.CompleteJobsParams{WorkerID: workerID},
	}
	last := int64(0) // of the successes
	for i, o := range sorted {
		if i > 0 && sorted[i-1].Ref == o.Ref {
			return s, &job.DataError{SQLState: "21000", Message: "two outcomes for attempt " + o.Ref.String()}
		}
		ran := min(max(o.Ran, 0), job.MaxDelay).Microseconds()
		switch o.Kind {
		case job.Started:
			s.starts.JobIDs = append(s.starts.JobIDs, o.Ref.ID)
			s.starts.DispatchIDs = append(s.starts.DispatchIDs, o.Ref.DispatchID)
			s.starts.RanUs = append(s.starts.RanUs, ran)
			continue
		case job.Succeeded:
			if o.Ref.ID != last { // a second attempt of one job: one of the two is stale, and its verdict must say which
				last = o.Ref.ID
				s.successes.JobIDs = append(s.successes.JobIDs, o.Ref.ID)
				s.successes.DispatchIDs = append(s.successes.DispatchIDs, o.Ref.DispatchID)
				s.successes.RanUs = append(s.successes.RanUs, ran)
				continue
			}
		case job.Failed, job.Snoozed, job.Discarded, job.CalledOff:
		default:
			return s, &job.DataError{SQLState: "22023", Message: fmt.Sprintf("attempt %s: no outcome is called %q", o.Ref, o.Kind)}
		}
		s.others.JobIDs = append(s.others.JobIDs, o.Ref.ID)
		s.others.DispatchIDs = append(s.others.DispatchIDs, o.Ref.DispatchID)
		s.others.Outcomes = append(s.others.Outcomes, string(o.Kind))
		s.others.DelaysMs = append(s.others.DelaysMs, job.ClampDelay(o.Delay).Milliseconds())
		s.others.RanUs = append(s.others.RanUs, ran)
		s.others.Errors = append(s.others.Errors, o.Error)
		s.others.Stacks = append(s.others.Stacks, o.Stack)
	}
	return s, nil
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

// Beat says that a process lives, and returns the epoch of every queue, and whether
// it is to be quiet. A relay's also forgets processes that have been silent for an hour.
func (s *Store) Beat(ctx context.Context, p job.Process) (job.Heard, error) {
	epochs, err := json.Marshal(p.Epochs)
	if err != nil || p.Epochs == nil {
		epochs = json.RawMessage(`{}`)
	}
	out := job.Heard{Epochs: map[string]int64{}}
	err = s.do(ctx, "beat", func(q *query.Queries) error {
		if p.Role == "relay" { // somebody must forget those that never said goodbye
			if _, err := q.RetireSilentProcesses(ctx); err != nil {
				return err
			}
		}
		rows, err := q.BeatProcess(ctx, query.BeatProcessParams{ID: p.ID, Role: p.Role, Host: p.Host, Pid: int32(p.PID), RedisOk: p.RedisOK, Epochs: epochs, Quiet: p.Quiet, Life: p.Life})
		for _, row := range rows {
			out.Quiet = row.Quiet
			if row.Name != "" {
				out.Epochs[row.Name] = row.Epoch
			}
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
