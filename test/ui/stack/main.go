// Command stack runs a house for the dashboard's tests in a browser: private servers,
// the API, a relay, workers whose handlers do what a payload says, and jobs of every
// status, hostile ones among them. It prints the addresses as a line of JSON when all
// is ready, and ends when its standard input does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/internal/oidc/oidctest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// key lets the browser into the second of the two addresses.
const key = "a-key-for-the-browser-0001"

func main() {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	rookery.Quiet()
	if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	if err := devstack.Install(ctx, os.Stderr); err != nil {
		return err
	}
	postgres, err := devstack.StartPostgres(context.WithoutCancel(ctx), devstack.PostgresOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Stop()) }()
	redis, err := devstack.StartRedis(context.WithoutCancel(ctx), devstack.RedisOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Stop()) }()
	url := postgres.URL("postgres")
	if _, err := rookery.Migrate(ctx, url); err != nil {
		return err
	}
	config := rookery.Config{DatabaseURL: url, RedisURL: redis.URL(), HTTPAddr: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	svc, err := rookery.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, svc.Close()) }()
	front, issuer, err := doors(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, issuer.Close()) }()
	locked := config
	locked.APIKeys = []string{key}
	locked.OIDC = rookery.OIDC{Issuer: issuer.URL, Audience: "rookery", ScopeClaim: "roles", Login: rookery.OIDCLogin{
		ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, URL: "http://" + front.Addr().String(),
	}}
	second, err := rookery.Open(ctx, locked)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Close()) }()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return serve(ctx, svc, second, front, pool)
}

func serve(ctx context.Context, svc, second *rookery.Service, front net.Listener, pool *pgxpool.Pool) error {
	relay, err := svc.Relay()
	if err != nil {
		return err
	}
	api, err := svc.API(ctx, relay)
	if err != nil {
		return err
	}
	door, err := second.API(ctx, nil)
	if err != nil {
		return err
	}
	worker, err := svc.Worker(registry(), workers.Options{ID: "mailer-1", Concurrency: 4, Queues: []workers.QueueWeight{{Name: "email:processing"}, {Name: "billing"}}, DrainTime: time.Millisecond})
	if err != nil {
		return err
	}
	if err := errors.Join(api.Listen(), door.Listen()); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{relay.Run, api.Run, door.Run, worker.Run} {
		g.Go(func() error { return run(ctx) })
	}
	g.Go(func() error { return pass(ctx, front, door.Addr()) })
	held := make(chan struct{})
	g.Go(func() error { return hold(ctx, pool, held) })
	g.Go(func() error {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := seed(ctx, pool); err != nil {
			return err
		}
		viewer, _, err := rookery.CreateKey(ctx, pool.Config().ConnString(), job.APIKey{Name: "viewer", Scopes: []job.Scope{job.ScopeJobsRead}})
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]string{"url": "http://" + api.Addr(), "locked": "http://" + front.Addr().String(), "key": key, "viewer": viewer})
	})
	return g.Wait()
}

// order is what a payload tells the handler to do.
type order struct {
	Do    string `json:"do"`
	Error string `json:"error"`
}

func registry() *workers.Registry {
	r := workers.NewRegistry()
	handler := workers.Typed(func(ctx context.Context, _ *workers.Job, o order) error {
		switch o.Do {
		case "fail":
			return errors.New(o.Error)
		case "discard":
			return job.Discard(errors.New(o.Error))
		case "panic":
			panic(o.Error)
		case "sleep":
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	})
	for _, queue := range []string{"email:processing", "billing"} {
		r.HandleQueue(queue, handler, workers.HandlerOptions{})
	}
	return r
}
