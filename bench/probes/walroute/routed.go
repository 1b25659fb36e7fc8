package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery/job"
)

// router is a hot relay that routes from the WAL: its stream appends rows to pending,
// and claimAll claims them from its front. A row leaves pending when its claim has
// committed, never before: what the slot may forget depends on it.
type router struct {
	s       *server
	pool    *pgxpool.Pool // plans pinned, as the Store's are
	whole   bool
	arrived chan struct{} // 1: pending has some
	early   int64         // rows that a claim did not find yet, since the start; claimAll's own

	mu      sync.Mutex // guards what follows
	pending []row      // in commit order
	read    pglogrepl.LSN
}

// row is a job from the WAL.
type row struct {
	before   pglogrepl.LSN // the end of the last transaction before the row's
	id       int64
	envelope job.Envelope // routed-whole only
}

// pins are those of db/connect.go that decide about plans.
const pins = `&plan_cache_mode=force_generic_plan&enable_seqscan=off&enable_bitmapscan=off&enable_hashjoin=off` +
	`&enable_mergejoin=off&enable_material=off&enable_memoize=off&jit=off&application_name=rookery&pool_max_conns=1`

// openRouter has the trigger no longer file jobs that are due, and begins to read the
// WAL.
func openRouter(ctx context.Context, g *errgroup.Group, s *server, whole bool) (*router, error) {
	r := &router{s: s, whole: whole, arrived: make(chan struct{}, 1)}
	columns := `id, queue_name, priority, status, run_at`
	if whole {
		columns = `id, queue_name, kind, payload, priority, status, max_attempts, run_at, created_at, headers`
	}
	// No row filter: one that names status is refused, because its type is a domain.
	for _, sql := range []string{routedTrigger, `CREATE PUBLICATION routed FOR TABLE outbox.jobs (` + columns + `) WITH (publish = 'insert')`} {
		if _, err := s.look.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("prepare routing: %w", err)
		}
	}
	pool, err := pgxpool.New(ctx, s.pg.URL("postgres")+pins)
	if err != nil {
		return nil, err
	}
	r.pool = pool
	t, err := openStream(ctx, s.pg.URL("postgres")+"&replication=database&application_name=tail", r)
	if err != nil {
		r.pool.Close()
		return nil, err
	}
	g.Go(func() error { return t.run(ctx) })
	return r, nil
}

// routedTrigger is that of migration 00011, by and large, without the rows in ready and without the
// wake for them.
const routedTrigger = `
CREATE OR REPLACE FUNCTION outbox.jobs_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    soon boolean;
BEGIN
    INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size)
    SELECT n.run_at, n.id, n.queue_name, n.priority, outbox.size_of(n.payload, n.headers)
    FROM new_jobs AS n
    WHERE n.status OPERATOR(pg_catalog.=) 'queued' AND n.run_at OPERATOR(pg_catalog.>) pg_catalog.now();
    IF FOUND THEN
        soon := EXISTS (
            SELECT
            FROM new_jobs AS n
            WHERE n.status OPERATOR(pg_catalog.=) 'queued'
              AND n.run_at OPERATOR(pg_catalog.>) pg_catalog.now()
              AND n.run_at OPERATOR(pg_catalog.<=) (pg_catalog.now() OPERATOR(pg_catalog.+) interval '2 seconds')
        );
    END IF;
    IF soon THEN
        PERFORM outbox.wake();
    END IF;
    RETURN NULL;
END $$`

// routedClaim is D1 by ids, with D3 of the batch before.
const routedClaim = `
WITH present AS (
    SELECT q.epoch FROM outbox.queues AS q WHERE q.name = $1 AND q.epoch = $2 AND q.life = $3 AND NOT q.paused
),
pushed AS (
    SELECT unnest($4::bigint[]) AS id, unnest($5::bigint[]) AS seq
),
recorded AS (
    UPDATE outbox.dispatches AS d SET seq = p.seq FROM pushed AS p WHERE d.id = p.id AND d.seq IS NULL
),
moved AS (
    UPDATE outbox.jobs AS j
    SET status = 'dispatched', attempt_count = j.attempt_count + 1, dispatch_id = $6::bigint, dispatched_at = now(), started_at = NULL, worker_id = NULL
    FROM present
    WHERE j.id = ANY ($7::bigint[]) AND j.status = 'queued'
    RETURNING j.id, j.attempt_count, j.dispatched_at%[1]s
),
ledger AS (
    INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id)
    SELECT $6::bigint, $1, array_agg(moved.id), $2, $8
    FROM moved
    HAVING count(*) > 0
)
SELECT moved.id, moved.attempt_count, moved.dispatched_at%[2]s
FROM moved`

// claims returns the statement for ids alone or for envelopes.
func claims(whole bool) string {
	if whole {
		return fmt.Sprintf(routedClaim, "", "")
	}
	return fmt.Sprintf(routedClaim,
		`, j.kind, j.priority, j.max_attempts, j.failure_count, j.lost_count, j.created_at, j.run_at, j.headers, j.payload`,
		`, moved.kind, moved.priority, moved.max_attempts, moved.failure_count, moved.lost_count, moved.created_at, moved.run_at, moved.headers, moved.payload`)
}

// claimAll claims jobs rows as they come. It pauses as a hot relay does.
func (r *router) claimAll(ctx context.Context, jobs int) error {
	sql := claims(r.whole)
	var pushed, seqs []int64
	for jobs > 0 {
		batch := r.front()
		if len(batch) == 0 {
			select {
			case <-r.arrived:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		ids := make([]int64, len(batch))
		for i := range batch {
			ids[i] = batch[i].id
		}
		dispatch := job.NewDispatchID()
		r.s.statements.Add(1)
		rows, err := r.pool.Query(ctx, sql, queueName, r.s.epoch, r.s.life, pushed, seqs, dispatch, ids, relayID)
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		claimed, err := r.envelopes(rows, dispatch)
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		// The claim has committed: here its batch would be pushed. What it did not find
		// is not visible yet and stays. (Nobody cancels here; a relay must ask.)
		r.early += int64(len(batch) - len(claimed))
		r.remove(len(batch), claimed)
		pushed, seqs = nil, nil
		if len(claimed) > 0 {
			pushed, seqs = []int64{dispatch}, []int64{1}
		}
		if jobs -= len(claimed); len(claimed) < batchMost && jobs > 0 {
			pause(ctx, hottest)
		}
	}
	return ctx.Err()
}

// envelopes reads what a claim returned.
func (r *router) envelopes(rows pgx.Rows, dispatch int64) ([]job.Envelope, error) {
	out := make([]job.Envelope, 0, batchMost)
	defer rows.Close()
	for rows.Next() {
		out = append(out, job.Envelope{DispatchID: dispatch, Version: job.EnvelopeVersion, QueueName: queueName})
		e := &out[len(out)-1]
		into := []any{&e.ID, &e.AttemptCount, &e.DispatchedAt}
		if !r.whole {
			into = append(into, &e.Kind, &e.Priority, &e.MaxAttempts, &e.FailureCount, &e.LostCount, &e.CreatedAt, &e.RunAt, &e.Headers, &e.Payload)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
	}
	return out, rows.Err()
}

// front returns the next batch, which stays where it is.
func (r *router) front() []row {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending[:min(len(r.pending), batchMost)]
}

// remove takes what was claimed of the first n rows out of pending.
func (r *router) remove(n int, claimed []job.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(claimed) == n && !r.whole {
		r.pending = r.pending[n:]
		return
	}
	verdict := make(map[int64]*job.Envelope, len(claimed))
	for i := range claimed {
		verdict[claimed[i].ID] = &claimed[i]
	}
	to := n
	for i := n - 1; i >= 0; i-- { // towards the rear, so that the rest need not move
		p := &r.pending[i]
		if e := verdict[p.id]; e != nil {
			// Here routed-whole has its envelope.
			p.envelope.AttemptCount, p.envelope.DispatchedAt, p.envelope.DispatchID = e.AttemptCount, e.DispatchedAt, e.DispatchID
			continue
		}
		to--
		r.pending[to] = *p
	}
	r.pending = r.pending[to:]
}

// confirmed is the end of what the slot may forget: every row before it is claimed.
func (r *router) confirmed() pglogrepl.LSN {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) > 0 {
		return r.pending[0].before
	}
	return r.read
}

// add takes the rows of one transaction, and how far the WAL is read.
func (r *router) add(rows []row, read pglogrepl.LSN) {
	r.mu.Lock()
	r.pending = append(r.pending, rows...)
	r.read = max(r.read, read)
	r.mu.Unlock()
	if len(rows) == 0 {
		return
	}
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

// caughtUp waits until the slot is confirmed up to the end of the WAL.
func (r *router) caughtUp(ctx context.Context) error {
	var end pglogrepl.LSN
	if err := r.s.look.QueryRow(ctx, `SELECT pg_current_wal_flush_lsn()`).Scan(&end); err != nil {
		return err
	}
	for r.confirmed() < end && ctx.Err() == nil {
		pause(ctx, hottest)
	}
	return ctx.Err()
}
