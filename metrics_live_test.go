package rookery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// counted adds up what registries have of a metric: its counts, or how often a histogram
// was told something. labels are "name=value", all of which a series must have.
func counted(t *testing.T, from []*prometheus.Registry, name string, labels ...string) (sum float64, there bool) {
	t.Helper()
	for _, r := range from {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "rookery_"+name && has(m, labels) {
					there = true
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	return sum, there
}

func has(m *dto.Metric, labels []string) bool {
	all := ""
	for _, l := range m.GetLabel() {
		all += " " + l.GetName() + "=" + l.GetValue() + " "
	}
	for _, l := range labels {
		if !strings.Contains(all, " "+l+" ") {
			return false
		}
	}
	return true
}

// Jobs that complete, that are given up, that somebody calls off while they run, and that
// a client leases leave their marks in the metrics of each step.
func TestMetrics_OfJobsThatRan(t *testing.T) {
	t.Parallel()
	ofServer, ofWorker := prometheus.NewRegistry(), prometheus.NewRegistry()
	c := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)}
	c.Registry = ofServer
	base, _ := pullServer(t, c)
	runs, release := heldWorker(t, c, ofWorker)

	for kind, n := range map[string]int{"good": 3, "bad": 2} {
		for range n {
			insertOver(t, base, kind)
		}
	}
	held := insertOver(t, base, "held")
	<-runs
	conn, err := pgx.Connect(t.Context(), c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT outbox.cancel($1)", held); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(release) // the outcome of what was called off is refused

	for _, verb := range []string{"ack", "ack", "release"} {
		_, path, token := lease(t, base)
		if status, a := call(t, base+path+"/"+verb, token); status != http.StatusOK {
			t.Fatalf("%s = %d %v", verb, status, a)
		}
	}

	from := []*prometheus.Registry{ofServer, ofWorker}
	for _, want := range []struct {
		name   string
		least  float64
		labels []string
	}{
		// commit → dispatch → start → completed
		{"relay_due_seconds", 6, []string{"queue=work"}},
		{"relay_dispatched_jobs_total", 6, []string{"queue=work"}},
		{"worker_dispatch_seconds", 6, []string{"queue=work"}},
		{"worker_delay_seconds", 6, []string{"queue=work"}},
		{"worker_run_seconds", 3, []string{"queue=work", "kind=good"}},
		{"worker_complete_seconds", 3, []string{"queue=work"}},
		{"worker_total_seconds", 3, []string{"queue=work"}},
		{"worker_attempts_total", 3, []string{"queue=work", "kind=good", "outcome=completed"}},
		{"worker_attempts_total", 2, []string{"queue=work", "kind=bad", "outcome=discarded"}},
		{"worker_attempts_total", 1, []string{"queue=work", "kind=held", "outcome=stale"}},
		// lag
		{"worker_reconcile_lag_seconds", 1, nil},
		{"worker_reconcile_seconds", 1, nil},
		{"relay_claim_seconds", 1, nil},
		{"relay_push_seconds", 1, nil},
		// doors
		{"http_requests_total", 6, []string{"status=201"}},
		{"http_request_seconds", 6, nil},
		{"http_inserted_jobs_total", 6, nil},
		{"pull_leases_given_total", 3, []string{"queue=pull"}},
		{"pull_leases_ended_total", 2, []string{"queue=pull", "outcome=ack"}},
		{"pull_leases_ended_total", 1, []string{"queue=pull", "outcome=release"}},
		// pools
		{"postgres_pool_max_connections", 1, []string{"pool=jobs"}},
		{"postgres_pool_connections", 1, []string{"pool=jobs"}},
		{"redis_pool_connections", 1, nil},
		// What must stay 0 is there to be looked at.
		{"relay_audit_missing_total", 0, nil},
		{"relay_audited_jobs_total", 0, nil},
		{"relay_stray_jobs_total", 0, nil},
		{"relay_recovered_batches_total", 0, nil},
		{"worker_held_jobs", 0, nil},
	} {
		devtest.Until(t, patience, fmt.Sprintf("rookery_%s %v to be %g or more", want.name, want.labels, want.least), func() (bool, error) {
			got, there := counted(t, from, want.name, want.labels...)
			return there && got >= want.least, nil
		})
	}
}

// heldWorker runs a worker whose kind held says that it runs, and returns when it is
// released.
func heldWorker(t *testing.T, c rookery.Config, registry *prometheus.Registry) (runs, release chan struct{}) {
	t.Helper()
	c.Registry = registry
	svc, err := rookery.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	runs, release = make(chan struct{}), make(chan struct{})
	handlers := workers.NewRegistry()
	does := func(kind string, h workers.HandlerFunc) { handlers.Handle(kind, h, workers.HandlerOptions{}) }
	does("good", func(context.Context, *workers.Job) error { return nil })
	does("bad", func(context.Context, *workers.Job) error { return job.Discard(errors.New("no")) })
	does("held", func(context.Context, *workers.Job) error {
		close(runs)
		<-release
		return nil
	})
	w, err := svc.Worker(handlers, workers.Options{Queues: []workers.QueueWeight{{Name: "work"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("worker: %v", err)
		}
		_ = svc.Close()
	})
	return runs, release
}

func insertOver(t *testing.T, base, kind string) int64 {
	t.Helper()
	status, a := call(t, base+"/v1/jobs", map[string]any{"queue_name": "work", "kind": kind, "payload": map[string]int{}})
	id, ok := a["id"].(float64)
	if status != http.StatusCreated || !ok {
		t.Fatalf("insert = %d %v", status, a)
	}
	return int64(id)
}
