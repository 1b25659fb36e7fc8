package db_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

// changeOf is a change that a person makes: what to do, and what tells whether it is done.
type changeOf struct {
	name string
	do   func(s *db.Store) error
	done string // SQL, true when it is
}

// changesOf are all changes that people make by one call, each to things of its own.
func changesOf(ctx context.Context, ids []int64) []changeOf {
	key, hash := "aaaaaaaaaaaaa", [32]byte{1}
	one := func(verb func(db.Acting, context.Context, int64) (bool, error), id int64) func(*db.Store) error {
		return func(s *db.Store) error { return second(verb(s.As(people), ctx, id)) }
	}
	status := func(i int, is string) string {
		return fmt.Sprintf(`SELECT status = '%s' FROM outbox.jobs WHERE id = %d`, is, ids[i])
	}
	day := int64(86400)
	whole := job.QueueChange{Window: 9, Keep: job.KeepForChange{KeepFor: job.KeepFor{Retention: &day}, SetRetention: true}}
	secret := job.NewEndpointSecret()
	return []changeOf{
		{"job.cancel", one(db.Acting.Cancel, ids[0]), status(0, "cancelled")},
		{"job.redrive", one(db.Acting.Redrive, ids[0]), status(0, "queued")},
		{"job.clone", func(s *db.Store) error { _, err := s.As(people).Clone(ctx, ids[1]); return err }, `SELECT count(*) = 4 FROM outbox.jobs`},
		{"job.cancel of many", func(s *db.Store) error {
			_, err := s.ChangeMany(ctx, people, job.ActionCancel, ids[1:2])
			return err
		}, status(1, "cancelled")},
		{"job.delete", one(db.Acting.Delete, ids[1]), fmt.Sprintf(`SELECT count(*) = 0 FROM outbox.jobs WHERE id = %d`, ids[1])},
		{"queue.pause", func(s *db.Store) error { return s.As(people).SetPaused(ctx, "q", true) }, `SELECT EXISTS (SELECT FROM outbox.queues WHERE name = 'q' AND paused)`},
		{"queue.resume", func(s *db.Store) error { return s.As(people).SetPaused(ctx, "q", false) }, `SELECT NOT paused FROM outbox.queues WHERE name = 'q'`},
		{"queue.window and queue.retention", func(s *db.Store) error { return s.As(people).SetQueue(ctx, "q", whole) },
			`SELECT window_size = 9 OR retention_seconds IS NOT NULL FROM outbox.queues WHERE name = 'q'`},
		{"operation.start", func(s *db.Store) error {
			_, err := s.StartOperation(ctx, people, job.ActionPurge, job.Listing{QueueName: "q"}, "")
			return err
		}, `SELECT count(*) = 1 FROM outbox.operations`},
		{"operation.cancel", func(s *db.Store) error {
			begun, err := s.Operations(ctx, job.OperationFilter{Limit: 1})
			if err == nil {
				_, _, err = s.CancelOperation(ctx, people, begun.Operations[0].ID)
			}
			return err
		}, `SELECT status = 'cancelled' FROM outbox.operations`},
		{"key.create", func(s *db.Store) error {
			_, err := s.CreateAPIKey(ctx, people, job.APIKey{ID: key, Name: "a", Scopes: []job.Scope{job.ScopeWorker}}, hash)
			return err
		}, `SELECT count(*) = 1 FROM outbox.api_keys`},
		{"key.revoke", func(s *db.Store) error { return second(s.RevokeAPIKey(ctx, people, key)) }, `SELECT revoked_at IS NOT NULL FROM outbox.api_keys`},
		{"endpoint.set", func(s *db.Store) error {
			_, _, err := s.SetEndpoint(ctx, people, job.Endpoint{QueueName: "q", URL: "https://a.example"}.Filled(), secret)
			return err
		}, `SELECT count(*) = 1 FROM outbox.endpoints`},
		{"endpoint.rotate", func(s *db.Store) error { return s.RotateEndpoint(ctx, people, "q", job.NewEndpointSecret(), time.Hour) },
			fmt.Sprintf(`SELECT secret <> '%s' FROM outbox.endpoints`, secret)},
		{"endpoint.delete", func(s *db.Store) error { return second(s.DeleteEndpoint(ctx, people, "q")) }, `SELECT count(*) = 0 FROM outbox.endpoints`},
		{"worker.quiet", func(s *db.Store) error { return s.SetQuiet(ctx, people, "w1", true) }, `SELECT quiet FROM outbox.processes WHERE id = 'w1'`},
		{"seal.rotate", func(s *db.Store) error { _, err := s.RotateSeals(ctx, people); return err }, `SELECT count(*) = 2 FROM outbox.seals`},
		{"seal.retire", func(s *db.Store) error {
			seals, err := s.Seals(ctx)
			if err == nil {
				err = s.RetireSeal(ctx, people, seals[0].ID, true)
			}
			return err
		}, `SELECT count(*) = 1 FROM outbox.seals WHERE retired_at IS NOT NULL`},
	}
}

// The connection is lost between a change and its line, or between that and the commit:
// then neither is there. Done without a fault, both are.
func TestChanges_NeitherChangeNorLineAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var armed atomic.Pointer[string]
	s, err := db.Open(t.Context(), w.url, db.Options{Logger: slog.New(slog.DiscardHandler), Failpoint: func(name string) {
		if at := armed.Load(); at != nil && *at == name {
			if _, err := w.side.Exec(context.WithoutCancel(t.Context()), `SELECT pg_terminate_backend(a.pid, 60000)
				FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.state = 'idle in transaction'`); err != nil {
				t.Error(err)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w.exec(`INSERT INTO outbox.processes (id, role, host, pid) VALUES ('w1', 'worker', 'h', 1)`)
	ids := w.insert(3)
	for _, c := range changesOf(t.Context(), ids) {
		lines := func() int64 { return get[int64](w, `SELECT count(*) FROM outbox.audit`) }
		before := lines()
		for _, point := range []string{"db.before_line", "db.after_line"} {
			armed.Store(&point)
			if err := c.do(s); err == nil {
				t.Errorf("%s that is cut off at %s = nil, want an error", c.name, point)
			}
			if got := lines(); got != before || get[bool](w, c.done) {
				t.Errorf("%s that is cut off at %s: %d lines, done %t, want neither", c.name, point, got-before, get[bool](w, c.done))
			}
		}
		armed.Store(nil)
		if err := c.do(s); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := lines(); got <= before || !get[bool](w, c.done) {
			t.Errorf("%s: %d lines, done %t, want both", c.name, got-before, get[bool](w, c.done))
		}
	}
}
