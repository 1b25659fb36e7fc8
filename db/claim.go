package db

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Survey says which queues have due jobs, and when the next scheduled job is due.
// It reads scheduled jobs from scheduledFrom on: below it only dead entries may lie. It
// neither looks at the queues in skipped nor returns them.
func (s *Store) Survey(ctx context.Context, scheduledFrom time.Time, skipped []string) (job.Survey, error) {
	var out job.Survey
	err := s.do(ctx, "survey", func(q *query.Queries) error {
		row, err := q.Survey(ctx, query.SurveyParams{ScheduledFrom: scheduledFrom, Skipped: skipped})
		out = job.Survey{Queues: row.QueueNames, NextIn: milliseconds(row.NextInMs)}
		return err
	})
	return out, err
}

// Claim is D1: it takes due jobs out of the backlog and entrusts them to c's
// dispatch id, in one statement and one commit. The batch is empty when nothing is
// due, and also when the queue is paused, in another epoch, or on another Postgres
// than the epoch was opened on. With c.WorkerID the batch is held by that worker. A job
// that somebody has locked makes it a [job.ErrConflict] after a second, unless it is to
// skip such jobs.
func (s *Store) Claim(ctx context.Context, c job.Claim) (job.Batch, error) {
	out := job.Batch{QueueName: c.QueueName, DispatchID: c.DispatchID, Epoch: c.Epoch}
	p := query.ClaimReadyParams{
		QueueName: c.QueueName, Epoch: c.Epoch, DispatchID: c.DispatchID, RelayID: c.RelayID,
		MaxJobs: int32(c.Limit), MaxBytes: job.MaxBatchBytes, SkipLocked: c.SkipLocked, WorkerID: c.WorkerID, LeaseMs: c.Lease.Milliseconds(),
	}
	p.PushedIDs, p.PushedSeqs = recordedArrays(c.Pushed)
	for _, span := range c.Spans {
		p.LoPriorities = append(p.LoPriorities, span.LoPriority)
		p.LoIDs = append(p.LoIDs, span.LoID)
		p.HiPriorities = append(p.HiPriorities, span.HiPriority)
		p.HiIDs = append(p.HiIDs, cmp.Or(span.HiID, math.MaxInt64))
	}
	err := s.on(ctx, "claim", func(q *query.Queries, life string) error {
		if c.Again {
			if err := s.reclaim(ctx, q, c, &out); err != nil || len(out.Jobs) > 0 {
				return err
			}
		}
		p.Life = life
		rows, err := q.ClaimReady(ctx, p)
		if err != nil {
			return err
		}
		out.Jobs = make([]job.Envelope, len(rows))
		for i, row := range rows {
			out.Jobs[i] = envelope(out, row)
		}
		return nil
	})
	inOrder(out)
	return out, err
}

// Express inserts one due job as already dispatched, with its ledger row. ok is
// false, and nothing inserted, when the queue cannot be dispatched to just now.
func (s *Store) Express(ctx context.Context, spec job.Spec, c job.Claim) (b job.Batch, ok bool, err error) {
	b = job.Batch{QueueName: spec.QueueName, DispatchID: c.DispatchID, Epoch: c.Epoch}
	err = s.on(ctx, "insert express", func(q *query.Queries, life string) error {
		rows, err := q.InsertExpress(ctx, query.InsertExpressParams{
			QueueName: spec.QueueName, Epoch: c.Epoch, Life: life, Kind: spec.Kind, Payload: string(spec.Payload),
			Priority: int16(*spec.Priority), MaxAttempts: int16(spec.MaxAttempts), Headers: string(spec.Headers),
			DispatchID: c.DispatchID, RelayID: c.RelayID,
		})
		for _, row := range rows {
			b.Jobs, ok = append(b.Jobs, envelope(b, query.ClaimReadyRow(row))), true
		}
		return err
	})
	return b, ok, err
}

// Record is D3 on its own: it notes which batches Redis has accepted.
func (s *Store) Record(ctx context.Context, pushed []job.Recorded) error {
	ids, seqs := recordedArrays(pushed)
	return s.do(ctx, "record pushes", func(q *query.Queries) error {
		return q.RecordPushes(ctx, query.RecordPushesParams{PushedIDs: ids, PushedSeqs: seqs})
	})
}

// Head returns the place in outbox.ready of the queue's most urgent due job that nobody has
// locked, down to hiPriority, or [job.ErrNotFound].
func (s *Store) Head(ctx context.Context, queue string, hiPriority int16) (priority int16, id int64, err error) {
	err = s.do(ctx, "look for head", func(q *query.Queries) error {
		row, err := q.HeadOfQueue(ctx, query.HeadOfQueueParams{QueueName: queue, HiPriority: hiPriority})
		priority, id = row.Priority, row.JobID
		return err
	})
	return priority, id, err
}

// Refuse makes a job dead, with the reason: a queued one, under dispatch id 0, that
// cannot be claimed, or a dispatched one that cannot be encoded. A job that is
// neither is left alone.
func (s *Store) Refuse(ctx context.Context, ref job.Ref, reason string) error {
	return s.do(ctx, "refuse", func(q *query.Queries) error {
		_, err := q.RefuseJob(ctx, query.RefuseJobParams{ID: ref.ID, DispatchID: ref.DispatchID, Reason: job.ErrorText(reason)})
		return err
	})
}

// inOrder sorts a batch as it is to be taken: an UPDATE returns its rows as it finds them.
func inOrder(b job.Batch) {
	slices.SortFunc(b.Jobs, func(a, b job.Envelope) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.ID, b.ID))
	})
}

func envelope(b job.Batch, row query.ClaimReadyRow) job.Envelope {
	e := job.Envelope{
		ID: row.ID, DispatchID: b.DispatchID, Version: job.EnvelopeVersion, AttemptCount: row.AttemptCount,
		QueueName: b.QueueName, Kind: row.Kind, Priority: row.Priority, MaxAttempts: row.MaxAttempts,
		FailureCount: row.FailureCount, LostCount: row.LostCount, Alone: row.LostCount >= job.MaxLost,
		CreatedAt: row.CreatedAt, RunAt: row.RunAt, Headers: row.Headers, Payload: row.Payload,
	}
	if row.DispatchedAt != nil {
		e.DispatchedAt = *row.DispatchedAt
	}
	return e
}

func recordedArrays(pushed []job.Recorded) (ids, seqs []int64) {
	ids, seqs = make([]int64, len(pushed)), make([]int64, len(pushed))
	for i, p := range pushed {
		ids[i], seqs[i] = p.DispatchID, p.Seq
	}
	return ids, seqs
}

func refArrays(refs []job.Ref) (ids, dispatches []int64) {
	ids, dispatches = make([]int64, len(refs)), make([]int64, len(refs))
	for i, r := range refs {
		ids[i], dispatches[i] = r.ID, r.DispatchID
	}
	return ids, dispatches
}

func milliseconds(ms int64) time.Duration {
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return job.Never
	}
	return time.Duration(ms) * time.Millisecond
}

// raw returns nil for an absent JSON value.
func raw(m json.RawMessage) json.RawMessage {
	if string(m) == "null" {
		return nil
	}
	return m
}
