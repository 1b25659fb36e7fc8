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
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	try := func() error {
		return pgx.BeginFunc(ctx, s.look, func(tx pgx.Tx) error {
			q := query.New(tx)
			c, changed, err := change(q)
			if err != nil || !changed {
				return err
			}
			return record(ctx, q, c)
		})
	}
	err := try()
	if err != nil && s.refusedPins(ctx, err) {
		err = try()
	}
	return translate(verb, err)
}

func record(ctx context.Context, q *query.Queries, c job.Change) error {
	return q.RecordChange(ctx, query.RecordChangeParams{
		Principal: c.Principal, Action: c.Action, Target: c.Target, QueueName: c.QueueName, Detail: c.Detail, RequestID: c.RequestID, Ip: c.IP,
	})
}

// RecordChange writes one line into outbox.audit, for a change that has no transaction of its
// own in Postgres. c.ID and c.At are Postgres' to choose.
func (s *Store) RecordChange(ctx context.Context, c job.Change) error {
	return s.seeing(ctx, "record a change", func(q *query.Queries) error { return record(ctx, q, c) })
}

// Changes lists what people have changed, the newest first: up to limit lines with ids
// below before, 0 meaning from the newest.
func (s *Store) Changes(ctx context.Context, before int64, limit int) ([]job.Change, error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	out := []job.Change{}
	err := s.seeing(ctx, "list changes", func(q *query.Queries) error {
		rows, err := q.ListChanges(ctx, query.ListChangesParams{BeforeID: before, MaxChanges: int32(min(max(limit, 1), 1000))})
		for _, r := range rows {
			out = append(out, job.Change{
				ID: r.ID, At: r.At, Principal: r.Principal, Action: r.Action, Target: r.Target, QueueName: r.QueueName,
				Detail: r.Detail, RequestID: r.RequestID, IP: r.Ip,
			})
		}
		return err
	})
	return out, err
}
