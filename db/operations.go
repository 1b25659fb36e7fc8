package db

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// maxFilter is how many bytes a filter may have, but for the spaces that Postgres puts into
// it: behind each of its fields, and behind each queue.
const maxFilter = 4096 - 32

// StartOperation begins an action on the jobs that a filter finds, and records who did.
// With a holder that process works at it; without, whoever takes it up. It finds jobs of
// who's queues only, now and later. The error is a [*job.FieldError], [job.ErrTooMany], or
// [job.ErrNotFound] for a queue that is not who's.
func (s *Store) StartOperation(ctx context.Context, who job.Actor, action job.Action, l job.Listing, holder string) (o job.Operation, err error) {
	if err := job.CheckBulk(action, l); err != nil {
		return o, err
	}
	l, ok := l.Bind(who.Queues)
	if !ok {
		return o, fmt.Errorf("start operation: %w", job.ErrNotFound)
	}
	filter, err := json.Marshal(l)
	if err != nil {
		return o, fmt.Errorf("write filter: %w", err)
	}
	if len(filter)+2*len(l.Queues) > maxFilter {
		return o, &job.FieldError{Field: "queue_name", Problem: "is needed: the key is for too many queues for one operation"}
	}
	full := false
	err = s.changing(ctx, "start operation", func(q *query.Queries) (job.Change, bool, error) {
		a := query.StartOperationParams{Action: string(action), Filter: filter, Principal: who.Principal, Holder: holder, MaxRunning: job.MaxRunningOperations}
		if holder != "" {
			a.LeaseMs = job.OperationLease.Milliseconds()
		}
		row, err := q.StartOperation(ctx, a)
		if full = errors.Is(err, pgx.ErrNoRows); full || err != nil {
			return job.Change{}, false, err
		}
		if row.Total, err = total(ctx, q, action, l, row.UpToID); err != nil {
			return job.Change{}, false, err
		}
		if row.Total != nil {
			if err := q.SetOperationTotal(ctx, query.SetOperationTotalParams{ID: row.ID, Total: *row.Total}); err != nil {
				return job.Change{}, false, err
			}
		}
		o, err = operationOf(query.GetOperationRow(row))
		return who.Did("operation.start", strconv.FormatInt(o.ID, 10), l.QueueName, map[string]any{"action": action, "filter": l}), true, err
	})
	if full {
		err = job.ErrTooMany
	}
	return o, err
}

// Operation returns one operation, or [job.ErrNotFound].
func (s *Store) Operation(ctx context.Context, id int64) (o job.Operation, err error) {
	err = s.seeing(ctx, "get operation", func(q *query.Queries) error {
		row, err := q.GetOperation(ctx, id)
		if err == nil {
			o, err = operationOf(row)
		}
		return err
	})
	return o, err
}

// Operations lists operations, the newest first. It looks at [job.OperationsCap] of them
// at most.
func (s *Store) Operations(ctx context.Context, f job.OperationFilter) (job.OperationPage, error) {
	var p job.OperationPage
	err := s.seeing(ctx, "list operations", func(q *query.Queries) error {
		p = job.OperationPage{Operations: []job.Operation{}}
		return listOperations(ctx, q, f, &p)
	})
	return p, err
}

// operationsSlice is how many operations are read at once.
const operationsSlice = 200

func listOperations(ctx context.Context, q *query.Queries, f job.OperationFilter, p *job.OperationPage) error {
	before := f.Before
	if before <= 0 {
		before = maxID
	}
	for looked := 0; looked < job.OperationsCap; looked += operationsSlice {
		rows, err := q.ListOperations(ctx, query.ListOperationsParams{BeforeID: before, MaxOperations: operationsSlice})
		if err != nil {
			return err
		}
		for _, row := range rows {
			o, err := operationOf(query.GetOperationRow(row))
			if err != nil {
				return err
			}
			if !o.Filter.Within(f.Queues) {
				continue
			}
			if len(p.Operations) == f.Limit {
				p.Next = p.Operations[f.Limit-1].ID
				return nil
			}
			p.Operations = append(p.Operations, o)
		}
		if len(rows) < operationsSlice {
			return nil
		}
		before = rows[len(rows)-1].ID
	}
	p.Next = before
	return nil
}

// cancelTries is how often a cancel waits, a second each time, for the batch under way.
const cancelTries = 8

// CancelOperation ends an operation before its time; what it has done stays done. false:
// it was over. [job.ErrNotFound]: there is none, or it is not [job.Listing.Within] who's
// queues.
func (s *Store) CancelOperation(ctx context.Context, who job.Actor, id int64) (o job.Operation, cancelled bool, err error) {
	if len(who.Queues) > 0 { // first: to wait for the batch of another's would tell that there is one
		if o, err = s.Operation(ctx, id); err == nil && !o.Filter.Within(who.Queues) {
			err = fmt.Errorf("cancel operation: %w", job.ErrNotFound)
		}
		if err != nil {
			return job.Operation{}, false, err
		}
	}
	for range cancelTries {
		err = s.changing(ctx, "cancel operation", func(q *query.Queries) (job.Change, bool, error) {
			rows, err := q.EndOperation(ctx, query.EndOperationParams{ID: id, Status: string(job.OperationCancelled)})
			if err != nil {
				return job.Change{}, false, err
			}
			if cancelled = len(rows) > 0; !cancelled {
				row, err := q.GetOperation(ctx, id)
				if err == nil {
					o, err = operationOf(row)
				}
				return job.Change{}, false, err
			}
			o, err = operationOf(query.GetOperationRow(rows[0]))
			return who.Did("operation.cancel", strconv.FormatInt(id, 10), o.Filter.QueueName, map[string]any{"done": o.Done}), true, err
		})
		if !errors.Is(err, job.ErrConflict) {
			break
		}
	}
	return o, cancelled, err
}

// TakeOperation makes holder the one who works at an operation that nobody works at, or
// that is the holder's already. found is false when there is none.
func (s *Store) TakeOperation(ctx context.Context, holder string) (id int64, found bool, err error) {
	err = s.seeing(ctx, "take operation", func(q *query.Queries) error {
		ids, err := q.TakeOperation(ctx, query.TakeOperationParams{Holder: holder, LeaseMs: job.OperationLease.Milliseconds()})
		if found = len(ids) > 0; found {
			id = ids[0]
		}
		return err
	})
	return id, found, err
}

// WorkOperation does one batch of an operation, and keeps it for another lease. held is
// false when it is over or another's, and nothing was done. The changes and the place
// where they ended are one transaction: a crash before its commit leaves none of both,
// and a crash after it, nothing to be done again.
func (s *Store) WorkOperation(ctx context.Context, t job.Turn) (o job.Operation, held bool, err error) {
	err = s.transact(ctx, "work at operation", func(q *query.Queries) error {
		held = false
		rows, err := q.HoldOperation(ctx, query.HoldOperationParams{ID: t.ID, Holder: t.Holder})
		if err != nil || len(rows) == 0 {
			return err
		}
		held = true
		if o, err = batch(ctx, q, query.GetOperationRow(rows[0]), t.Found); err == nil && t.BeforeCommit != nil {
			t.BeforeCommit()
		}
		return err
	})
	return o, held, err
}

// batch changes the next jobs of the operation in row, which is locked, and writes down
// where that came to.
func batch(ctx context.Context, q *query.Queries, row query.GetOperationRow, found func()) (o job.Operation, err error) {
	if o, err = operationOf(row); err != nil {
		return o, err
	}
	if err := knowsFilter(row.Filter); err != nil {
		return o, err
	}
	r := round{action: o.Action, filter: o.Filter, upTo: row.UpToID, most: job.BulkBatch, list: int(row.Walk)}
	if r.place, err = placeIn(row); err != nil {
		return o, err
	}
	if err := r.run(ctx, q); err != nil {
		return o, err
	}
	if found != nil {
		found()
	}
	done, err := changeJobs(ctx, q, o.Action, job.SortedIDs(r.ids))
	if err != nil {
		return o, err
	}
	if o.Action == job.ActionPurge && r.ended() {
		if err := again(ctx, q, &r); err != nil {
			return o, err
		}
	}
	a := query.AdvanceOperationParams{
		ID: o.ID, Matched: int64(len(r.ids)), Done: int64(len(done)), Failed: int64(len(r.ids) - len(done)),
		Walk: int16(r.list), Ended: r.ended(), LeaseMs: job.OperationLease.Milliseconds(),
	}
	if r.place != nil {
		if a.Place, err = json.Marshal(r.place); err != nil {
			return o, fmt.Errorf("write place: %w", err)
		}
	}
	after, err := q.AdvanceOperation(ctx, a)
	if err != nil {
		return o, err
	}
	return operationOf(query.GetOperationRow(after))
}

// again begins a purge's round anew when a job waits that slipped past it: one that Redis
// had lost goes back from dispatched to ready, which the round had left behind. What
// is scheduled was gone through before; nothing comes back there that has not run.
func again(ctx context.Context, q *query.Queries, r *round) error {
	left, err := q.PurgeLeft(ctx, query.PurgeLeftParams{QueueName: r.filter.QueueName, UpToID: r.upTo})
	if left {
		r.list, r.place = slices.Index(r.lists(), job.FilterReady), nil
	}
	return err
}

// knowsFilter returns a [*job.FieldError] when a newer version has written a filter which
// this one would read as wider than it is.
func knowsFilter(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&job.Listing{}) != nil {
		return &job.FieldError{Field: "filter", Problem: "has a field that this version does not know"}
	}
	return nil
}

// FailOperation ends an operation of the holder's that cannot go on, and says why.
func (s *Store) FailOperation(ctx context.Context, id int64, holder, why string) error {
	return s.seeing(ctx, "fail operation", func(q *query.Queries) error {
		_, err := q.EndOperation(ctx, query.EndOperationParams{ID: id, Status: string(job.OperationFailed), Error: why, Holder: holder})
		return err
	})
}

// totalTime is how long an operation's total may take: no slice of a list is read after
// it, and no statement takes longer. Whoever begins an operation waits for it.
const totalTime = time.Second

// total counts the jobs that an action is about to change; nil: there are more than
// [job.OperationCount] places to look at, or it takes too long.
func total(ctx context.Context, q *query.Queries, action job.Action, l job.Listing, upTo int64) (*int64, error) {
	r := round{action: action, filter: l, upTo: upTo, most: job.OperationCount, counts: true, until: time.Now().Add(totalTime)}
	counted, err := aside(ctx, q, totalTime, func() error {
		for looks := 0; looks < job.OperationCount/job.BrowseCap && !r.ended() && !r.late(); looks++ {
			if err := r.run(ctx, q); err != nil {
				return fmt.Errorf("count jobs: %w", err)
			}
		}
		return nil
	})
	if err != nil || !counted || !r.ended() {
		return nil, err
	}
	n := int64(len(r.ids))
	return &n, nil
}

func operationOf(r query.GetOperationRow) (job.Operation, error) {
	o := job.Operation{
		ID: r.ID, Action: job.Action(r.Action), Status: job.OperationStatus(r.Status), Principal: r.Principal,
		StartedAt: r.StartedAt.UTC(), FinishedAt: r.FinishedAt, Error: r.Error, Matched: r.Matched, Done: r.Done, Failed: r.Failed, Total: r.Total,
	}
	if o.FinishedAt != nil {
		at := o.FinishedAt.UTC()
		o.FinishedAt = &at
	}
	if err := json.Unmarshal(r.Filter, &o.Filter); err != nil {
		return o, fmt.Errorf("read filter: %w", err)
	}
	place, err := placeIn(r)
	o.Share = share(o, place, r.UpToID)
	return o, err
}

func placeIn(r query.GetOperationRow) (place *job.Place, err error) {
	if r.Place == nil {
		return nil, nil
	}
	if err := json.Unmarshal(r.Place, &place); err != nil {
		return nil, fmt.Errorf("read place: %w", err)
	}
	return place, nil
}

// share says how much of an operation is behind it.
func share(o job.Operation, place *job.Place, upTo int64) *float64 {
	var part float64
	switch lists := o.Action.Lists(o.Filter); {
	case o.Status == job.OperationCompleted:
		part = 1
	case o.Total != nil && *o.Total > 0:
		part = float64(o.Matched) / float64(*o.Total)
	case o.Total == nil && len(lists) == 1 && byNewest(lists[0]):
		if place != nil { // from the newest job to the oldest
			part = float64(upTo-place.ID+1) / float64(max(upTo, 1))
		}
	default:
		return nil
	}
	part = min(max(part, 0), 1)
	return &part
}
