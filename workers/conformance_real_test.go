package workers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/job"
)

// servers are a Postgres and a Redis that the contracts share; each has a queue of
// its own there.
type servers struct {
	store  *db.Store
	side   *pgxpool.Pool // to insert past the Store
	redis  *redisq.Client
	raw    *redis.Client // to write past the Client
	queues atomic.Int64
}

func newServers(t *testing.T) *servers {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	databaseURL, redisURL := devtest.Postgres(t), devtest.Redis(t)
	s := &servers{}
	var err error
	if s.store, err = db.Open(t.Context(), databaseURL, db.Options{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.store.Close)
	if s.side, err = pgxpool.New(t.Context(), databaseURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.side.Close)
	if s.redis, err = (redisq.Options{Logger: quiet, SealKeys: s.store.SealKeys}).Open(t.Context(), redisURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.redis.Close() })
	o, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	s.raw = redis.NewClient(o)
	t.Cleanup(func() { _ = s.raw.Close() })
	return s
}

// fixture makes a queue and opens its first epoch.
func (s *servers) fixture(t *testing.T) *fixture {
	f := &fixture{T: t, store: s.store, queue: s.redis, leases: s.redis, name: fmt.Sprintf("q%d", s.queues.Add(1))}
	s.truth(f)
	s.window(f)
	f.no("Register", s.store.Register(f.Context(), []string{f.name}))
	f.open(f.name, f.begin())
	return f
}

// truth gives f its hands in Postgres.
func (s *servers) truth(f *fixture) {
	epoch := int64(0)
	f.begin = func() int64 {
		next, _, begun, err := s.store.BeginEpoch(f.Context(), f.name, epoch, 0)
		if f.no("BeginEpoch", err); !begun {
			f.Fatalf("BeginEpoch(%s, %d): another one did", f.name, epoch)
		}
		epoch = next
		return epoch
	}
	insert := func(n int, maxAttempts int16) {
		_, err := s.side.Exec(f.Context(), `INSERT INTO outbox.jobs (queue_name, kind, payload, max_attempts)
			SELECT $1, 'test', '{}', $3 FROM generate_series(1, $2)`, f.name, n, maxAttempts)
		f.no("insert", err)
	}
	f.insert = func(n int) { insert(n, job.DefaultMaxAttempts) }
	f.takeBack = func() (refs []job.Ref) {
		back, err := s.store.TakeBackHeld(f.Context(), time.Now().Add(time.Hour))
		f.no("TakeBackHeld", err)
		for _, v := range back[f.name] {
			refs = append(refs, v.Ref)
		}
		return refs
	}
	f.dispatch = func(n int, maxAttempts int16) []job.Envelope {
		insert(n, maxAttempts)
		b, err := s.store.Claim(f.Context(), job.Claim{
			QueueName: f.name, Epoch: epoch, RelayID: "relay", DispatchID: job.NewDispatchID(), Limit: n,
			Spans: []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: job.MaxPriority}},
		})
		if f.no("Claim", err); len(b.Jobs) != n {
			f.Fatalf("Claim = %d jobs, want %d", len(b.Jobs), n)
		}
		return b.Jobs
	}
	f.job = func(id int64) job.Job {
		j, err := s.store.Job(f.Context(), id)
		f.no("Job", err)
		return j
	}
	f.cancel = func(ref job.Ref) {
		done, err := s.store.Cancel(f.Context(), ref.ID)
		if f.no("Cancel", err); !done {
			f.Fatalf("Cancel(%d): it was over", ref.ID)
		}
	}
	f.living = func() (ids []string) {
		rows, err := s.store.Processes(f.Context(), "")
		f.no("Processes", err)
		for _, row := range rows {
			ids = append(ids, row.ID)
		}
		return ids
	}
}

// window gives f its hands in Redis.
func (s *servers) window(f *fixture) {
	ctx := context.WithoutCancel(f.Context())
	epoch := int64(0) // of f's queue
	f.open = func(queue string, next int64) {
		_, err := s.redis.OpenEpoch(ctx, queue, next, false)
		if f.no("OpenEpoch", err); queue == f.name {
			epoch = next
		}
	}
	f.push = func(jobs ...job.Envelope) {
		b := job.Batch{QueueName: jobs[0].QueueName, DispatchID: jobs[0].DispatchID, Epoch: epoch, Jobs: jobs}
		if b.QueueName != f.name {
			b.Epoch = 1
		}
		_, err := s.redis.Push(ctx, job.Push{Batch: b, Deadline: time.Now().Add(time.Hour).UnixMilli()})
		f.no("Push", err)
	}
	f.pushBroken = func(ref job.Ref) {
		// A relay has sealed it, and nobody can read it: anything else is forged.
		f.push(job.Envelope{ID: ref.ID, DispatchID: ref.DispatchID, QueueName: f.name, Priority: 100, Payload: json.RawMessage(`{"half":`)})
	}
	f.pause = func(paused bool) {
		_, err := s.redis.Census(ctx, job.Census{QueueName: f.name, Epoch: epoch, Paused: paused})
		f.no("Census", err)
	}
	f.callOff = func(refs ...job.Ref) { f.no("Cancel", s.redis.Cancel(ctx, f.name, epoch, refs)) }
	f.reap = func() (refs []job.Ref) {
		lost, err := s.redis.Expired(ctx, f.name, epoch, job.NoDeadline, 0)
		f.no("Expired", err)
		for _, l := range lost {
			refs = append(refs, l.Ref)
		}
		return refs
	}
	f.replace = func() { f.no("HSET", s.raw.HSet(ctx, "queue:{"+f.name+"}:meta", "life", "0123abc").Err()) }
	f.shown = func() (ids []string) {
		list, err := s.redis.Workers(ctx)
		f.no("Workers", err)
		for _, p := range list {
			ids = append(ids, p.ID)
		}
		return ids
	}
}
