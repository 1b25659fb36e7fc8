package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// round is what one round used.
type round struct {
	jobs       int
	seconds    float64 // of inserting and claiming
	handedOut  usage   // inserting and claiming
	completed  usage
	vacuumed   usage
	statements int64 // of inserting and claiming
	early      int64 // rows that were read from the WAL before they could be seen
}

// round runs w on empty tables.
func (s *server) round(ctx context.Context, w workload) (r round, err error) {
	r.jobs = w.jobs
	// Not analysed: with statistics that say "empty" D1's plan reads all of jobs.
	for _, sql := range []string{`TRUNCATE outbox.jobs, outbox.ready, outbox.scheduled, outbox.dispatches`, `CHECKPOINT`} {
		if _, err := s.look.Exec(ctx, sql); err != nil {
			return r, fmt.Errorf("empty tables: %w", err)
		}
	}
	s.statements.Store(0)
	var early int64
	if s.router != nil {
		early = s.router.early
	}
	began := time.Now()
	r.handedOut, err = s.used(ctx, func() error {
		err := s.handOut(ctx, w)
		r.seconds = time.Since(began).Seconds()
		return err
	})
	if err != nil {
		return r, err
	}
	if s.gate != nil {
		if err := s.gate.Ping(ctx); err != nil {
			return r, fmt.Errorf("the gate has opened: %w", err)
		}
	}
	r.statements = s.statements.Load()
	if s.router != nil {
		r.early = s.router.early - early
	}
	if r.completed, err = s.used(ctx, func() error { return s.complete(ctx) }); err != nil {
		return r, err
	}
	if err := s.check(ctx, w.jobs); err != nil {
		return r, err
	}
	r.vacuumed, err = s.used(ctx, func() error {
		_, err := s.completer.Exec(ctx, `VACUUM outbox.jobs, outbox.ready, outbox.scheduled, outbox.dispatches`)
		return err
	})
	return r, err
}

// handOut inserts w's jobs and claims them meanwhile.
func (s *server) handOut(ctx context.Context, w workload) error {
	g, ctx := errgroup.WithContext(ctx)
	for n := range w.producers {
		g.Go(func() error { return s.produce(ctx, w, n) })
	}
	g.Go(func() error {
		if s.router != nil {
			return s.router.claimAll(ctx, w.jobs)
		}
		return s.claimAll(ctx, w.jobs)
	})
	return g.Wait()
}

// complete records every job as completed, in batches, in the order of ids.
func (s *server) complete(ctx context.Context) error {
	rows, err := s.look.Query(ctx, `SELECT id FROM outbox.jobs WHERE status = 'dispatched' ORDER BY id`)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	for len(ids) > 0 {
		n := min(len(ids), batchMost)
		if _, err := s.completer.Exec(ctx, `
			UPDATE outbox.jobs
			SET status = 'completed', started_at = now(), finished_at = now(), worker_id = 'worker-1-abcdefgh'
			WHERE id = ANY ($1) AND status = 'dispatched'`, ids[:n]); err != nil {
			return fmt.Errorf("complete: %w", err)
		}
		ids = ids[n:]
	}
	return nil
}

// check makes sure that every job has gone the whole way, once.
func (s *server) check(ctx context.Context, jobs int) error {
	var completed, ready, entrusted int
	err := s.look.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM outbox.jobs WHERE status = 'completed' AND attempt_count = 1),
			(SELECT count(*) FROM outbox.ready), (SELECT coalesce(sum(cardinality(job_ids)), 0) FROM outbox.dispatches)`).Scan(&completed, &ready, &entrusted)
	if err == nil && (completed != jobs || ready != 0 || entrusted != jobs) {
		err = fmt.Errorf("of %d jobs %d are completed, %d ready, %d in the ledger", jobs, completed, ready, entrusted)
	}
	return err
}
