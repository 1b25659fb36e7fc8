package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack"
)

const (
	queueName = "bench"
	relayID   = "walroute-1"
	batchMost = 500
)

var variants = []string{"ready", "ready-logical", "routed", "routed-whole"}

// server is one variant on a Postgres of its own. One goroutine uses it.
type server struct {
	variant    string
	pg         *devstack.Postgres
	producers  *pgxpool.Pool
	look       *pgxpool.Pool // for everything that is not measured
	completer  *pgxpool.Pool
	gate       *pgx.Conn // held shut by it; nil when jobs are routed
	store      *db.Store
	survey     bool
	router     *router // nil unless jobs are routed
	epoch      int64
	life       string
	statements atomic.Int64
}

func openServer(ctx context.Context, g *errgroup.Group, variant string, survey bool) (s *server, err error) {
	s = &server{variant: variant, survey: survey}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	settings := map[string]string{
		"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "autovacuum": "off", "wal_level": "logical",
	}
	if variant == "ready" {
		settings["wal_level"] = "replica"
	}
	if s.pg, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Durable: true, Settings: settings}); err != nil {
		return s, err
	}
	url := s.pg.URL("postgres")
	if err := migrate(ctx, url); err != nil {
		return s, err
	}
	for name, pool := range map[string]**pgxpool.Pool{"producer": &s.producers, "look": &s.look, "completer": &s.completer} {
		if *pool, err = pgxpool.New(ctx, url+"&pool_max_conns=8&application_name="+name); err != nil {
			return s, err
		}
	}
	if s.store, err = db.Open(ctx, url, db.Options{MaxConns: 2}); err != nil {
		return s, err
	}
	if err := s.openQueue(ctx); err != nil {
		return s, err
	}
	if variant == "routed" || variant == "routed-whole" {
		s.router, err = openRouter(ctx, g, s, variant == "routed-whole")
		return s, err
	}
	return s, s.shutGate(ctx)
}

func migrate(ctx context.Context, url string) error {
	m, err := db.NewMigrator(url)
	if err != nil {
		return err
	}
	_, err = m.Up(ctx)
	return errors.Join(err, m.Close())
}

// openQueue makes the queue known and begins its first epoch, as a relay does.
func (s *server) openQueue(ctx context.Context) error {
	if err := s.store.Register(ctx, []string{queueName}); err != nil {
		return err
	}
	epoch, _, begun, err := s.store.BeginEpoch(ctx, queueName, 0, 0)
	if err != nil || !begun {
		return fmt.Errorf("begin epoch (%v): %w", begun, err)
	}
	s.epoch = epoch
	_, s.life, _, err = s.store.Queues(ctx)
	return err
}

// shutGate is what a hot relay does: producers do not notify.
func (s *server) shutGate(ctx context.Context) (err error) {
	if s.gate, err = pgx.Connect(ctx, s.pg.URL("postgres")+"&application_name=look"); err != nil {
		return err
	}
	_, err = s.gate.Exec(ctx, `SELECT pg_advisory_lock(1380928331, 1)`)
	return err
}

func (s *server) close(ctx context.Context) error {
	if s.router != nil {
		s.router.pool.Close()
	}
	for _, pool := range []*pgxpool.Pool{s.producers, s.look, s.completer} {
		if pool != nil {
			pool.Close()
		}
	}
	if s.gate != nil {
		_ = s.gate.Close(context.WithoutCancel(ctx)) // the server ends
	}
	if s.store != nil {
		s.store.Close()
	}
	if s.pg == nil {
		return nil
	}
	return s.pg.Stop()
}
