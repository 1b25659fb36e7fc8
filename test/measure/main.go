// Command measure takes the two figures that are compared with the table in
// docs/performance.md: how fast, and with how much CPU, 100,000 jobs that do
// nothing go their whole way; and how long a job waits at a steady rate. It runs
// real processes of bin/rookery on a durable private Postgres (fsync on) and a
// Redis with AOF.
//
//	make build && go run ./test/measure drain
//	make build && go run ./test/measure latency
//	make build && go run ./test/measure direct     # drain, with Redis gone
//
// Machines are shared and noisy: compare ratios of runs side by side, not figures
// of different days. bench/ will measure against other systems.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	jobs := flag.Int("jobs", 100_000, "drain: how many")
	runs := flag.Int("runs", 3, "drain: how often; the median is printed last")
	together := flag.Bool("together", false, "drain: insert while they drain, in transactions of 100")
	rate := flag.Int("rate", 200, "latency: jobs per second")
	seconds := flag.Int("seconds", 20, "latency: for how long")
	program := flag.String("rookery", "bin/rookery", "the binary")
	mode := "drain"
	if len(os.Args) > 1 && os.Args[1][0] != '-' {
		mode = os.Args[1]
		os.Args = append(os.Args[:1], os.Args[2:]...)
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch mode {
	case "drain":
		err = drainRuns(*runs, *jobs, func() (drained, error) { return drain(ctx, *program, *jobs, *together) })
	case "direct":
		err = drainRuns(*runs, *jobs, func() (drained, error) { return direct(ctx, *program, *jobs) })
	case "latency":
		err = latency(ctx, *program, *rate, time.Duration(*seconds)*time.Second)
	default:
		err = fmt.Errorf("%q is not drain, direct or latency", mode)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

// drained is one run of drain.
type drained struct {
	rate                                    float64 // jobs per second
	postgres, redis, relay, worker, elapsed time.Duration
}

func (d drained) cpu() time.Duration { return d.postgres + d.redis + d.relay + d.worker }

func drainRuns(runs, jobs int, run func() (drained, error)) error {
	var all []drained
	for i := range runs {
		d, err := run()
		if err != nil {
			return err
		}
		all = append(all, d)
		fmt.Printf("run %d: %6.0f jobs/s in %s; CPU %.2f s: postgres %.2f, redis %.2f, relay %.2f, worker %.2f\n",
			i+1, d.rate, d.elapsed.Round(time.Millisecond), d.cpu().Seconds(), d.postgres.Seconds(), d.redis.Seconds(), d.relay.Seconds(), d.worker.Seconds())
	}
	slices.SortFunc(all, func(a, b drained) int { return int(a.rate - b.rate) })
	rate := all[len(all)/2].rate
	slices.SortFunc(all, func(a, b drained) int { return int(a.cpu() - b.cpu()) })
	cpu := all[len(all)/2].cpu()
	fmt.Printf("median: %.0f jobs/s, %.1f us of CPU a job (Postgres + Redis + program)\n", rate, float64(cpu.Microseconds())/float64(jobs))
	return nil
}

func drain(ctx context.Context, program string, jobs int, together bool) (d drained, err error) {
	h, err := newHouse(ctx, program)
	if err != nil {
		return d, err
	}
	defer func() { _ = h.close() }()
	if !together {
		if err := h.insert(ctx, jobs, 1000); err != nil {
			return d, err
		}
	}
	if err := h.start(ctx, "relay"); err != nil {
		return d, err
	}
	began, before := time.Now(), h.used()
	if err := h.start(ctx, "bench", "worker", "--queue", "bench", "--concurrency", "100"); err != nil {
		return d, err
	}
	if together {
		if err := h.insert(ctx, jobs, 100); err != nil {
			return d, err
		}
	}
	if err := h.done(ctx, jobs); err != nil {
		return d, err
	}
	d.elapsed = time.Since(began)
	after := h.used()
	d.rate = float64(jobs) / d.elapsed.Seconds()
	d.postgres, d.redis = after["postgres"]-before["postgres"], after["redis"]-before["redis"]
	d.relay, d.worker = after["relay"], after["bench"]
	return d, nil
}

// unfinished is 0 when the last jobs of the last batch are done. It looks at few
// rows, so as not to be part of what is measured.
func unfinished(ctx context.Context, pool *pgxpool.Pool, jobs int) (n int, err error) {
	const tail = `SELECT $1 - count(*) FROM (SELECT status FROM outbox.jobs ORDER BY id DESC LIMIT $1) AS t WHERE status = 'completed'`
	if err = pool.QueryRow(ctx, tail, min(jobs, 200)).Scan(&n); err != nil || n > 0 {
		return n, err
	}
	return n, pool.QueryRow(ctx, `SELECT $1 - count(*) FROM outbox.jobs WHERE status = 'completed'`, jobs).Scan(&n)
}
