package db

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// changing runs a change that a person makes and writes its line into outbox.audit, in
// one transaction on the unpinned pool: neither is there without the other. change
// returns the line, and whether anything was changed; without, no line is written.
func (s *Store) changing(ctx context.Context, verb string, change func(*query.Queries) (job.Change, bool, error)) error {
	err := s.transact(ctx, verb, func(q *query.Queries) error {
		c, changed, err := change(q)
		if err != nil || !changed {
			return err
		}
		return s.record(ctx, q, c)
	})
	return s.done(err)
}

// done marks the point behind the commit of a change. A crash here leaves the change and
// its line, and nobody who was told.
func (s *Store) done(err error) error {
	if err == nil {
		s.failpoint("db.after_change")
	}
	return err
}

// transact runs statements in one transaction on the unpinned pool. run may be called
// twice, the second time after nothing was done.
func (s *Store) transact(ctx context.Context, verb string, run func(*query.Queries) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	try := func() error {
		return pgx.BeginFunc(ctx, s.look, func(tx pgx.Tx) error { return run(query.New(tx)) })
	}
	err := try()
	if err != nil && s.refusedPins(ctx, err) {
		err = try()
	}
	return translate(verb, err)
}

// record writes the line of a change in its transaction: a crash before its commit
// leaves neither.
func (s *Store) record(ctx context.Context, q *query.Queries, c job.Change) error {
	s.failpoint("db.before_line")
	err := q.RecordChange(ctx, query.RecordChangeParams{
		Principal: c.Principal, Action: c.Action, Target: c.Target, QueueName: c.QueueName, Detail: c.Detail, RequestID: c.RequestID, Ip: c.IP,
	})
	s.failpoint("db.after_line")
	return err
}

// RecordChange writes one line into outbox.audit, for what changes nothing in Postgres and
// people want to know of all the same. It comes first: a crash in between leaves a line
// too many, never one too few. c.ID and c.At are Postgres' to choose.
func (s *Store) RecordChange(ctx context.Context, c job.Change) error {
	return s.seeing(ctx, "record a change", func(q *query.Queries) error { return s.record(ctx, q, c) })
}

// Changes lists what people have changed, the newest first. Bad input is a
// [*job.FieldError].
func (s *Store) Changes(ctx context.Context, f job.ChangeFilter) (job.ChangePage, error) {
	if err := f.Check(); err != nil {
		return job.ChangePage{}, err
	}
	before := f.Before
	if before == 0 {
		before = math.MaxInt64
	}
	var page job.ChangePage
	err := s.seeing(ctx, "list changes", func(q *query.Queries) error {
		page = job.ChangePage{Changes: []job.Change{}}
		rows, err := q.ListChanges(ctx, query.ListChangesParams{
			BeforeID: before, Cap: job.ChangesCap, Principal: f.Principal, Action: f.Action, Target: f.Target, QueueName: f.QueueName, MaxChanges: int32(f.Limit) + 1,
		})
		if err != nil {
			return err
		}
		for _, r := range rows[:min(len(rows), f.Limit)] {
			page.Changes = append(page.Changes, job.Change{
				ID: r.ID, At: r.At, Principal: r.Principal, DatabaseRole: r.DatabaseRole, Action: r.Action, Target: r.Target, QueueName: r.QueueName,
				Detail: r.Detail, RequestID: r.RequestID, IP: r.Ip,
			})
		}
		if len(rows) > f.Limit {
			page.Next = rows[f.Limit-1].ID
			return nil
		}
		edge, err := q.ChangesEdge(ctx, query.ChangesEdgeParams{BeforeID: before, Cap: job.ChangesCap})
		if err == nil && edge.Seen == job.ChangesCap {
			page.Next, page.Capped = edge.ID, true
		}
		return err
	})
	return page, err
}
