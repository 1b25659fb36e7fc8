package systems

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery/bench/actor"
)

// floorSystem is the least work by which a job comes from Postgres through Redis to a
// handler and is recorded as completed, in batches. It is no queue: no queues by name, no
// delays, no attempts, no leases, no second relay, and what a dead process had popped
// is lost. It says how far a queue of this shape could be from the ground.
//
//	COPY ─▶ floor_jobs ─ SELECT 500 ─▶ FloorRelay ─ LPUSH ─▶ list ─ BLMPOP 500 ─▶ handlers ─▶ UPDATE 500
type floorSystem struct{}

const (
	floorList  = "floor"
	floorBatch = 500
	floorSlots = 100
	floorLanes = 4                      // batches a worker has under way at once
	floorIdle  = 5 * time.Millisecond   // the relay's pause when there is nothing
	floorGap   = 10 * time.Second       // how long a missing id is asked for
	floorWait  = time.Second            // one wait of a worker for the list
	floorAsk   = 100 * time.Millisecond // how often missing ids are asked for
)

// floorTable is like outbox.jobs where it matters: room for the update on the same
// page, and no index on what changes, so that the update is HOT.
const floorTable = `
CREATE TABLE floor_jobs (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	payload jsonb NOT NULL,
	status text NOT NULL DEFAULT 'queued'
) WITH (fillfactor = 36, autovacuum_vacuum_insert_scale_factor = 0.5)`

// floorPins keep the plans of the two statements, as Rookery keeps its own.
var floorPins = map[string]string{
	"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off", "synchronous_commit": "on",
}

// Setup implements [actor.System].
func (floorSystem) Setup(ctx context.Context, s actor.Servers) error {
	return makeTables(ctx, s, floorTable)
}

// Producer implements [actor.System].
func (floorSystem) Producer(ctx context.Context, s actor.Servers, o actor.ProduceOptions) (actor.Producer, error) {
	if o.DelayTo > 0 {
		return nil, errors.New("floor has no delays")
	}
	return newTableProducer(ctx, s, o, insertFloor)
}

func insertFloor(ctx context.Context, db querier, jobs []actor.Job) error {
	if len(jobs) == 1 {
		_, err := db.Exec(ctx, `INSERT INTO floor_jobs (payload) VALUES ($1)`, jobs[0].Payload)
		return wrap("insert", err)
	}
	_, err := db.CopyFrom(ctx, pgx.Identifier{"floor_jobs"}, []string{"payload"},
		pgx.CopyFromSlice(len(jobs), func(i int) ([]any, error) { return []any{jobs[i].Payload}, nil }))
	return wrap("copy", err)
}

// FloorRelay moves jobs from the table to the list, in the order of their ids, until
// ctx ends. It begins at the first row, so it is to be started once.
//
// Ids are drawn before their transactions commit. One that is missing between those
// that are seen is asked for again for ten seconds: enough while producers insert, and
// nothing at all for a backlog that was there before.
func FloorRelay(ctx context.Context, s actor.Servers) error {
	pool, err := openPool(ctx, s.DatabaseURL, 1, floorPins)
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := openRedis(s)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	r := floorRelay{pool: pool, redis: client, missing: map[int64]time.Time{}}
	for ctx.Err() == nil {
		n, err := r.round(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if n < floorBatch {
			pause(ctx, floorIdle)
		}
	}
	return nil
}

type floorRelay struct {
	pool    *pgxpool.Pool
	redis   *redis.Client
	last    int64               // id
	missing map[int64]time.Time // ids below last that were not seen, and since when
	asked   time.Time
	values  []any
}

// round pushes the next batch, and what was missing.
func (r *floorRelay) round(ctx context.Context) (n int, err error) {
	r.values = r.values[:0]
	if n, err = r.read(ctx, `SELECT id, payload FROM floor_jobs WHERE id > $1 ORDER BY id LIMIT $2`, r.last, floorBatch); err != nil {
		return 0, err
	}
	if len(r.missing) > 0 && time.Since(r.asked) > floorAsk {
		r.asked = time.Now()
		ids := make([]int64, 0, len(r.missing))
		for id, since := range r.missing {
			if ids = append(ids, id); r.asked.Sub(since) > floorGap {
				delete(r.missing, id) // after this last time
			}
		}
		if _, err := r.read(ctx, `SELECT id, payload FROM floor_jobs WHERE id = ANY($1)`, ids); err != nil {
			return 0, err
		}
	}
	if len(r.values) == 0 {
		return 0, nil
	}
	return n, wrap("push", r.redis.LPush(ctx, floorList, r.values...).Err())
}

func (r *floorRelay) read(ctx context.Context, query string, args ...any) (n int, err error) {
	rows, err := r.pool.Query(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id      int64
			payload []byte
		)
		if err := rows.Scan(&id, &payload); err != nil {
			return 0, fmt.Errorf("read: %w", err)
		}
		n++
		if id < r.last {
			delete(r.missing, id)
		}
		for ; r.last+1 < id; r.last++ {
			r.missing[r.last+1] = time.Now()
		}
		r.last = max(r.last, id)
		member := append(strconv.AppendInt(make([]byte, 0, len(payload)+20), id, 10), ':')
		r.values = append(r.values, append(member, payload...))
	}
	return n, wrap("read", rows.Err())
}

// floorWorker runs what it pops in lanes: while one batch is written, another runs.
type floorWorker struct {
	pool   *pgxpool.Pool
	redis  *redis.Client
	handle actor.Handler
	again  sync.WaitGroup
}

// Work implements [actor.System]. It knows one queue only.
func (floorSystem) Work(ctx context.Context, s actor.Servers, o actor.WorkOptions, ready func(), handle actor.Handler) error {
	pool, err := openPool(ctx, s.DatabaseURL, floorLanes, floorPins)
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := openRedis(s)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	slots := floorSlots
	if o.Concurrency > 0 {
		slots = o.Concurrency
	}
	lanes := min(floorLanes, slots)
	w := &floorWorker{pool: pool, redis: client, handle: handle}
	// A pop that is broken off would lose what it popped, so calls outlive ctx.
	life := context.WithoutCancel(ctx)
	var g errgroup.Group
	for lane := range lanes {
		g.Go(func() error {
			for ctx.Err() == nil {
				if err := w.batch(ctx, life, (slots+lane)/lanes); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ready()
	err = g.Wait()
	w.again.Wait()
	return err
}

// batch pops jobs, runs them, slots at once, and records those that did not fail.
func (w *floorWorker) batch(ctx, life context.Context, slots int) error {
	_, members, err := w.redis.BLMPop(life, floorWait, "right", floorBatch, floorList).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pop: %w", err)
	}
	ids, failed := make([]int64, len(members)), make([]bool, len(members))
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	for range min(slots, len(members)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(members)); i = next.Add(1) - 1 {
				id, payload, _ := strings.Cut(members[i], ":")
				ids[i], _ = strconv.ParseInt(id, 10, 64) // the relay wrote it
				failed[i] = w.handle(life, []byte(payload)) != nil
			}
		})
	}
	wg.Wait()
	done, retry := ids[:0], []any(nil)
	for i, id := range ids {
		if failed[i] {
			retry = append(retry, members[i])
		} else {
			done = append(done, id)
		}
	}
	if len(retry) > 0 {
		w.again.Go(func() {
			pause(ctx, actor.RetryAfter)
			_ = w.redis.LPush(life, floorList, retry...).Err() // no queue: one that is lost shows in Left
		})
	}
	_, err = w.pool.Exec(life, `UPDATE floor_jobs SET status = 'completed' WHERE id = ANY($1)`, done)
	return wrap("complete", err)
}

// Left implements [actor.System].
func (floorSystem) Left(ctx context.Context, s actor.Servers) (int64, error) {
	return count(ctx, s, `SELECT count(*) FROM floor_jobs WHERE status <> 'completed'`)
}

// Settings implements [actor.System].
func (floorSystem) Settings() string {
	return fmt.Sprintf("No queue but the least that this way costs: COPY into a table of fillfactor 36, one relay process reading %d rows by id and pushing them by one LPUSH, "+
		"workers popping up to %d by one BLMPOP, %d handlers, and one HOT UPDATE per batch, %d batches under way, synchronous_commit on. "+
		"Meant for draining a backlog; nothing survives a crash.", floorBatch, floorBatch, floorSlots, floorLanes)
}

func openRedis(s actor.Servers) (*redis.Client, error) {
	o, err := redis.ParseURL(s.RedisURL)
	if err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	return redis.NewClient(o), nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
