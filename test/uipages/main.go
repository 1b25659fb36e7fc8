// Command uipages measures how long each page of the dashboard takes with very many
// jobs, on private servers of its own:
//
//	go run ./test/uipages -jobs 10000000
//
// With -dir the cluster is kept, and a second run need not make the jobs again.
// Most of the jobs are over, a tenth is due, and some are scheduled, dead or dispatched.
// The charts have eight days of 20 queues and three processes.
// The time is that of the handler, without a network; the pages' limit is 100 ms.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack"
)

func main() {
	jobs := flag.Int("jobs", 1_000_000, "how many jobs")
	dir := flag.String("dir", "", "keep the cluster here, and seed it only if it is new")
	runs := flag.Int("runs", 7, "how often each page is asked for")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rookery.Quiet()
	if err := measure(ctx, *dir, *jobs, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "uipages:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, dir string, jobs, runs int) (err error) {
	if err := devstack.Install(ctx, os.Stderr); err != nil {
		return err
	}
	postgres, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir, Settings: map[string]string{"max_wal_size": "4GB"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Stop()) }()
	redis, err := devstack.StartRedis(ctx, devstack.RedisOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Stop()) }()
	url := postgres.URL("postgres")
	if _, err := rookery.Migrate(ctx, url); err != nil {
		return err
	}
	if err := seed(ctx, url, jobs); err != nil {
		return err
	}
	svc, err := rookery.Open(ctx, rookery.Config{DatabaseURL: url, RedisURL: redis.URL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, svc.Close()) }()
	api, err := svc.API(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Printf("| page, with %d jobs | first, ms | median, ms | most, ms | KB |\n|---|---|---|---|---|\n", jobs)
	for _, target := range pages(jobs) {
		if err := page(api.Handler(), target, runs); err != nil {
			return err
		}
	}
	return nil
}

func pages(jobs int) []string {
	return []string{
		"/ui/", "/ui/jobs", "/ui/jobs?q=status%3Aready", "/ui/jobs?q=status%3Aready+queue%3Aqueue-7", "/ui/jobs?q=status%3Ascheduled", "/ui/jobs?q=status%3Aretrying",
		"/ui/jobs?q=status%3Aout", "/ui/jobs?q=status%3Adead", "/ui/jobs?q=status%3Adead+kind%3Akind-3", "/ui/jobs?q=status%3Acompleted", "/ui/jobs?q=status%3Acancelled",
		"/ui/jobs?q=kind%3Anowhere", "/ui/jobs?q=queue%3Anowhere", "/ui/jobs?q=status%3Aready+kind%3Anowhere", "/ui/jobs?q=status%3Ascheduled+kind%3Anowhere",
		"/ui/jobs?q=since%3A1h", fmt.Sprintf("/ui/jobs?after=%d.0.0.", jobs/2), fmt.Sprintf("/ui/jobs/%d", jobs/2), fmt.Sprintf("/ui/jobs/%d", jobs-1),
		"/ui/charts?range=1h", "/ui/charts?range=6h", "/ui/charts?range=24h", "/ui/charts?range=7d", "/ui/charts?range=7d&queue=queue-7", "/ui/figures?range=24h",
		"/ui/queues", "/ui/queues/queue-7", "/ui/workers", "/ui/dead", "/ui/storage", "/ui/about",
	}
}

// page asks for one page several times, each more than a second after the last, when
// the glance that pages share has to be read anew.
func page(h http.Handler, target string, runs int) error {
	var took []time.Duration
	size := 0
	for range runs {
		<-time.After(1100 * time.Millisecond)
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		start := time.Now()
		h.ServeHTTP(w, r)
		took = append(took, time.Since(start))
		if w.Code != http.StatusOK {
			return fmt.Errorf("%s = %d", target, w.Code)
		}
		size = w.Body.Len()
	}
	first := took[0]
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	fmt.Printf("| `%s` | %.1f | %.1f | %.1f | %d |\n", target, ms(first), ms(took[len(took)/2]), ms(took[len(took)-1]), size/1024)
	return nil
}

// seeds make the jobs as if they had gone their way. $1 is how many.
var seeds = []string{
	`ALTER TABLE outbox.jobs DISABLE TRIGGER jobs_inserted`,
	`INSERT INTO outbox.queues (name) SELECT 'queue-' || n FROM generate_series(0, 19) AS n`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload, status, priority, run_at, created_at, finished_at, attempt_count, failure_count, worker_id, last_error, dispatch_id)
		SELECT 'queue-' || n % 20, 'kind-' || n % 50, jsonb_build_object('to', 'user' || n || '@example.com', 'text', repeat('x', 60)), made.status, 100,
			CASE WHEN made.status = 'queued' AND n % 97 < 5 THEN now() + n % 100000 * interval '1 second' ELSE now() - interval '1 hour' END,
			now() - ($1::bigint - n) * interval '10 milliseconds', CASE WHEN made.status IN ('completed', 'cancelled', 'dead') THEN now() - ($1::bigint - n) * interval '9 milliseconds' END,
			1, (n % 7 = 0)::integer, 'worker-' || n % 9, CASE WHEN made.status = 'dead' THEN 'smtp: 550 mailbox ' || n || ' of kind ' || n % 11 || ' is not known' END,
			CASE WHEN made.status = 'dispatched' THEN 1 + n / 1000000 END
		FROM generate_series(1, $1::bigint) AS n
		CROSS JOIN LATERAL (SELECT CASE WHEN n % 100 < 10 THEN 'queued' WHEN n % 100 = 10 THEN 'dead' WHEN n % 100 = 11 THEN 'cancelled' WHEN n % 1000 = 999 THEN 'dispatched' ELSE 'completed' END AS status) AS made`,
	`INSERT INTO outbox.ready (queue_name, priority, job_id, size) SELECT queue_name, priority, id, 200 FROM outbox.jobs WHERE status = 'queued' AND run_at <= now()`,
	`INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size) SELECT run_at, id, queue_name, priority, 200 FROM outbox.jobs WHERE status = 'queued' AND run_at > now()`,
	`INSERT INTO outbox.dead_letters (job_id, queue_name, kind, dead_at, reason) SELECT id, queue_name, kind, finished_at, 'exhausted' FROM outbox.jobs WHERE status = 'dead'`,
	`INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id) SELECT dispatch_id, min(queue_name), array_agg(id), 1, 'relay-1' FROM outbox.jobs WHERE status = 'dispatched' GROUP BY dispatch_id`,
	`INSERT INTO outbox.processes (id, role) SELECT 'process-' || n, CASE WHEN n < 5 THEN 'relay' ELSE 'worker' END FROM generate_series(1, 50) AS n`,
	`INSERT INTO outbox.stats (minute, queue_name, writer, dispatched, completed, failed, run_us, wait_us, run_buckets, wait_buckets)
		SELECT m, 'queue-' || q, w, 50, 48, 2, 100000, 200000, '{0,3,9,20,10,5,3}', '{0,0,0,5,30,9,3,2,1}'
		FROM generate_series(date_trunc('minute', now()) - interval '8 days', now(), interval '1 minute') AS m, generate_series(0, 19) AS q, generate_series(1, 3) AS w`,
	`INSERT INTO outbox.depths (minute, queue_name, paused, ready, scheduled, out, workers, oldest_ms)
		SELECT m, 'queue-' || q, false, 50000, 2000, 500, 3, 1000
		FROM generate_series(date_trunc('minute', now()) - interval '8 days', now() + interval '1 hour', interval '1 minute') AS m, generate_series(0, 19) AS q`,
	`VACUUM ANALYZE outbox.jobs, outbox.ready, outbox.scheduled, outbox.dead_letters, outbox.dispatches, outbox.stats, outbox.depths, outbox.queues, outbox.processes`,
}

func seed(ctx context.Context, url string, jobs int) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	var seeded bool
	if err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM outbox.jobs)").Scan(&seeded); err != nil || seeded {
		return err
	}
	start := time.Now()
	for i, sql := range seeds {
		var args []any
		if i == 2 {
			args = append(args, jobs)
		}
		if _, err := pool.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("%.50s: %w", sql, err)
		}
	}
	fmt.Fprintf(os.Stderr, "seeded in %s\n", time.Since(start).Round(time.Second))
	return nil
}
