package rookery_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// opened is a service on servers of the test's own, and the jobs in it.
func opened(t *testing.T) (*rookery.Service, *rookery.Jobs) {
	t.Helper()
	svc, err := rookery.Open(t.Context(), rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	jobs, err := svc.Jobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return svc, jobs
}

// Postgres says that a worker lives, and Redis what it serves.
func TestProcesses_WithWhatWorkersSay(t *testing.T) {
	t.Parallel()
	svc, jobs := opened(t)
	worker, err := svc.ProgramWorker(rookery.Program{Queues: []string{"mail"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	var found []job.ProcessState
	devtest.Until(t, patience, "the worker speaks", func() (bool, error) {
		found, err = jobs.Processes(t.Context(), "worker")
		return len(found) == 1 && found[0].Slots > 0 && found[0].RedisAge >= 0, err
	})
	if p := found[0]; !slices.Equal(p.Queues, []string{"mail"}) || !p.Alive() || p.BeatAge < 0 {
		t.Errorf("the worker = %+v, want it alive and serving mail", p)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if found, err = jobs.Processes(t.Context(), ""); err != nil || len(found) != 0 {
		t.Errorf("Processes after it stopped = %+v, %v, want none", found, err)
	}
}
