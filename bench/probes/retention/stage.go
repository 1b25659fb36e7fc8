package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/job"
)

// roles are who logs in, which is what Postgres calls its processes by.
var roles = []string{"producer", "relay", "sweeper", "worker", "retention"}

// stage is one Postgres and those who use it.
type stage struct {
	o      options
	pg     *devstack.Postgres
	logs   string               // folder of Postgres' log
	admin  *pgx.Conn            // reads the points
	stores map[string]*db.Store // by role
	epoch  int64                // of the only queue
	parts  *partitions          // nil: slices of DELETE
	out    chan job.Batch       // claimed, not completed; see open
	seen   *seen                // how long statements took
	count  struct{ inserted, completed, removed atomic.Int64 }
}

const queue = "probe"

// open starts Postgres and lays out what the variant needs.
func open(ctx context.Context, o options) (*stage, error) {
	logs, err := os.MkdirTemp("", "retention-log-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(logs, 0o777); err != nil { // Postgres may run as another user
		return nil, err
	}
	// The buffer lets the relay go on while the worker is a second behind.
	s := &stage{o: o, logs: logs, stores: map[string]*db.Store{}, out: make(chan job.Batch, 64), seen: newSeen()}
	s.pg, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Durable: true, Settings: map[string]string{
		"autovacuum_naptime": "10s",
		// Between insert and removal lie days, and many checkpoints.
		"checkpoint_timeout": "30s", "max_wal_size": "8GB", "shared_buffers": "256MB",
		// In a table of days it is nothing; in one of a minute it would be most.
		"autovacuum_analyze_threshold": "1000000000",
		"logging_collector":            "on", "log_directory": logs, "log_filename": "postgres.log",
		"log_autovacuum_min_duration": "0", "log_line_prefix": "%n ", "log_file_mode": "0644", "log_checkpoints": "off",
		"wal_compression": o.compression,
	}})
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) prepare(ctx context.Context) error {
	if _, err := rookery.Migrate(ctx, s.pg.URL("postgres")); err != nil {
		return err
	}
	var err error
	if s.admin, err = pgx.Connect(ctx, s.pg.URL("postgres")); err != nil {
		return err
	}
	for _, role := range roles {
		if _, err := s.admin.Exec(ctx, "CREATE ROLE "+role+" LOGIN SUPERUSER"); err != nil {
			return err
		}
		if s.stores[role], err = db.Open(ctx, s.url(role), db.Options{MaxConns: 2}); err != nil {
			return err
		}
	}
	if s.o.partitions > 0 {
		if s.parts, err = split(ctx, s); err != nil {
			return fmt.Errorf("split jobs into partitions: %w", err)
		}
	}
	relay := s.stores["relay"]
	if err := relay.Register(ctx, []string{queue}); err != nil {
		return err
	}
	s.epoch, _, _, err = relay.BeginEpoch(ctx, queue, 0, 0)
	return err
}

// url is the database, as role.
func (s *stage) url(role string) string {
	u, err := url.Parse(s.pg.URL("postgres"))
	if err != nil {
		return ""
	}
	u.User = url.User(role)
	return u.String()
}

// begin starts parts of the stage and returns what ends them and waits for their end.
func (s *stage) begin(ctx context.Context, parts ...func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "retention:", err)
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

func (s *stage) close() {
	for _, store := range s.stores {
		store.Close()
	}
	if err := errors.Join(s.pg.Stop(), os.RemoveAll(s.logs)); err != nil {
		fmt.Fprintln(os.Stderr, "retention:", err)
	}
}
