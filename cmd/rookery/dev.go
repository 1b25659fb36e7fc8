package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack"
)

func devCommand() *cobra.Command {
	var (
		keep bool
		dir  string
		addr string
	)
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything here: a private Postgres and Redis, API, relay and a worker",
		Args:  noArgs,
		Long: `Run a private Postgres and Redis on free ports of this machine, migrated, with the
API, a relay, and a worker for the queue "default" that prints what it gets.
Ctrl-C stops it all and deletes the data, unless --keep or --dir.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep && dir == "" {
				dir = filepath.Join(os.TempDir(), "rookery-dev")
			}
			return dev(cmd.Context(), dir, addr)
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep the data, and go on with it the next time")
	c.Flags().StringVar(&dir, "dir", "", "keep the data in this `folder` (with --keep alone: rookery-dev in the temporary folder)")
	c.Flags().StringVar(&addr, "http", "127.0.0.1:0", "address of the API; port 0 takes a free one")
	return c
}

func dev(ctx context.Context, dir, addr string) (err error) {
	if err := devstack.Install(ctx, os.Stderr); err != nil {
		return err
	}
	pgDir, redisDir := "", ""
	if dir != "" {
		pgDir, redisDir = filepath.Join(dir, "postgres"), filepath.Join(dir, "redis")
	}
	pg, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: pgDir, Durable: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pg.Stop()) }()
	redis, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: redisDir, AOF: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Stop()) }()
	url := pg.URL("postgres")
	if _, err := rookery.Migrate(ctx, url); err != nil {
		return err
	}
	config, err := rookery.LoadConfig("", os.Getenv)
	if err != nil {
		return err
	}
	config.DatabaseURL, config.RedisURL, config.HTTPAddr = url, redis.URL(), addr
	return withService(ctx, config, func(ctx context.Context, svc *rookery.Service) error {
		return devRun(ctx, svc, url, redis.URL())
	})
}

func devRun(ctx context.Context, svc *rookery.Service, databaseURL, redisURL string) error {
	relay, err := svc.Relay()
	if err != nil {
		return err
	}
	api, err := svc.API(ctx, relay)
	if err != nil {
		return err
	}
	if err := api.Listen(); err != nil {
		return err
	}
	worker, err := svc.EchoWorker("default", os.Stdout)
	if err != nil {
		return err
	}
	fmt.Printf(`Rookery is running. Ctrl-C stops it.

  Dashboard http://%s/ui/
  API       http://%s      (/v1/jobs, /v1/queues, /readyz, /metrics)
  DATABASE_URL=%s
  REDIS_URL=%s

Insert a job in a transaction of yours:
  psql '%s' -c "INSERT INTO outbox.jobs (queue_name, payload) VALUES ('default', '{\"hello\": \"world\"}')"
or over HTTP:
  curl -sS http://%s/v1/jobs -H 'Content-Type: application/json' -d '{"queue_name": "default", "payload": {"hello": "world"}}'

`, api.Addr(), api.Addr(), databaseURL, redisURL, databaseURL, api.Addr())
	return runAll(ctx, relay.Run, api.Run, worker.Run)
}
