package workloads

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The ways of waking a relay, side by side (issue 4, section 3): workload (w). What
// is not a setting of Rookery's is made by replacing the one function that wakes.
var wakes = []struct {
	name     string
	setup    string
	settings map[string]string
	env      []string
}{
	{name: "gated-notify"},
	{name: "wal", settings: map[string]string{"wal_level": "logical"}, env: []string{"ROOKERY_WAKE=wal"}},
	{name: "plain-notify", setup: `
		CREATE OR REPLACE FUNCTION outbox.wake() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
		$$ BEGIN PERFORM pg_catalog.pg_notify('outbox', ''); RETURN true; END $$`},
	{name: "poll", setup: `
		CREATE OR REPLACE FUNCTION outbox.wake() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
		$$ BEGIN RETURN false; END $$`},
}

func wakeCases(b *Bench) []Case {
	seconds := 15.0
	if b.Short {
		seconds = 3
	}
	var all []Case
	for _, w := range wakes {
		all = append(all, Case{Workload: "w", Name: "single-" + w.name, Systems: ours, Measure: flow{
			jobs: b.scaled(20_000), together: true, produce: []string{"-per-tx", "1", "-business"},
			settings: w.settings, env: w.env, setup: w.setup,
		}.measure})
		for _, rate := range []float64{200, 1000} {
			all = append(all, Case{Workload: "w", Name: fmt.Sprintf("rate-%.0f-%s", rate, w.name), Systems: ours,
				Measure: latency{rate: rate, seconds: seconds, settings: w.settings, env: w.env, setup: w.setup}.measure})
		}
		if w.name == "poll" || w.name == "plain-notify" {
			continue
		}
		all = append(all, Case{Workload: "w", Name: "rate-200-" + w.name + "-beside-50MB", Systems: ours,
			Measure: latency{rate: 200, seconds: seconds, settings: w.settings, env: w.env, setup: w.setup, foreign: 50}.measure})
	}
	return all
}

// writeElsewhere writes megabytes a second into another database of the server, a
// megabyte in each transaction, until the function it returns is called.
func (s *stage) writeElsewhere(ctx context.Context, megabytes int) (stop func() error, err error) {
	if _, err := s.Pool.Exec(ctx, `CREATE DATABASE elsewhere`); err != nil {
		return nil, fmt.Errorf("another database: %w", err)
	}
	c, err := pgx.Connect(ctx, s.URL("elsewhere"))
	if err != nil {
		return nil, fmt.Errorf("another database: %w", err)
	}
	if _, err := c.Exec(ctx, `CREATE TABLE junk (n int, pad text); ALTER TABLE junk ALTER pad SET STORAGE EXTERNAL`); err != nil {
		return nil, errors.Join(fmt.Errorf("another database: %w", err), c.Close(ctx))
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		t := time.NewTicker(time.Second / time.Duration(megabytes))
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- c.Close(context.WithoutCancel(ctx))
				return
			case <-t.C:
			}
			if _, err := c.Exec(ctx, `INSERT INTO junk SELECT n, repeat(chr(65 + n % 26), 1000) FROM generate_series(1, 900) AS n`); err != nil && ctx.Err() == nil {
				done <- errors.Join(fmt.Errorf("write elsewhere: %w", err), c.Close(context.WithoutCancel(ctx)))
				return
			}
		}
	}()
	return func() error { cancel(); return <-done }, nil
}
