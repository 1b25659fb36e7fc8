package rookery_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// What a relay and a worker do is there for charts once they have stopped.
func TestStats_OfAJobsWay(t *testing.T) {
	t.Parallel()
	svc, jobs := opened(t)
	relay, err := svc.Relay()
	if err != nil {
		t.Fatal(err)
	}
	worker, err := svc.ProgramWorker(rookery.Program{Queues: []string{"mail"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running errgroup.Group
	running.Go(func() error { return relay.Run(ctx) })
	running.Go(func() error { return worker.Run(ctx) })
	ids, err := jobs.Insert(t.Context(), []job.Spec{{QueueName: "mail"}, {QueueName: "mail"}})
	if err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "both jobs completed", func() (bool, error) {
		for _, id := range ids {
			if j, err := jobs.Job(t.Context(), id); err != nil || j.Status != job.Completed {
				return false, err
			}
		}
		return true, nil
	})
	stop()
	if err := running.Wait(); err != nil {
		t.Error(err)
	}
	now := time.Now()
	points, err := jobs.Stats(t.Context(), job.StatRange{QueueName: "mail", From: now.Add(-5 * time.Minute), To: now.Add(5 * time.Minute), Step: 10 * time.Minute})
	if err != nil || len(points) != 1 {
		t.Fatalf("Stats = %+v, %v, want one point", points, err)
	}
	if p := points[0]; p.Dispatched != 2 || p.Completed != 2 || p.Run.Count != 2 || p.Wait.Count != 2 || p.Failed+p.Dead+p.Lost != 0 {
		t.Errorf("Stats = %+v, want 2 dispatched and completed", p)
	}
}

// A service that is closed leaves its registry to the next.
func TestService_OpensAgainOnTheSameRegistry(t *testing.T) {
	t.Parallel()
	c := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t), Registry: prometheus.NewRegistry()}
	for range 2 {
		svc, err := rookery.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if svc2, err := rookery.Open(t.Context(), c); err == nil {
			t.Error("a second service on the registry of an open one is not refused")
			_ = svc2.Close()
		}
		if err := svc.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
