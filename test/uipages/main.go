// Command uipages measures how long each page of the dashboard takes with very many
// jobs, on private servers of its own:
//
//	go run ./test/uipages -jobs 10000000
//
// With -dir the cluster is kept, and a second run need not make the jobs again.
// Most of the jobs are over, a tenth is due, and some are scheduled, dead or dispatched.
// The charts have eight days of 20 queues and three processes. Every page is asked for
// once in each round, in which the server begins anew and keeps nothing from the last.
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
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack"
)

func main() {
	jobs := flag.Int("jobs", 1_000_000, "how many jobs")
	dir := flag.String("dir", "", "keep the cluster here, and seed it only if it is new")
	rounds := flag.Int("rounds", 3, "how often each page is asked for")
	only := flag.String("only", "", "only pages whose address this regular expression matches")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rookery.Quiet()
	if err := measure(ctx, options{*dir, *jobs, *rounds, *only}); err != nil {
		fmt.Fprintln(os.Stderr, "uipages:", err)
		os.Exit(1)
	}
}

type options struct {
	dir          string
	jobs, rounds int
	only         string
}

func measure(ctx context.Context, o options) (err error) {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if err := devstack.Install(ctx, os.Stderr); err != nil {
		return err
	}
	postgres, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: o.dir, Settings: map[string]string{"max_wal_size": "4GB"}})
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
	if err := errors.Join(seed(ctx, url, o.jobs), rollUp(ctx, url)); err != nil {
		return err
	}
	pages := slices.DeleteFunc(pages(o.jobs), func(target string) bool { return !only.MatchString(target) })
	took := make([][]time.Duration, len(pages))
	size := make([]int, len(pages))
	load := []string{loadAverage()}
	for range o.rounds {
		if err := round(ctx, rookery.Config{DatabaseURL: url, RedisURL: redis.URL(), Logger: slog.New(slog.DiscardHandler)}, pages, took, size); err != nil {
			return err
		}
		load = append(load, loadAverage())
	}
	report(pages, took, size)
	fmt.Printf("\n%d jobs, %d rounds; load before the first and after each: %s\n", o.jobs, o.rounds, strings.Join(load, ", "))
	return nil
}

// round asks a server that has just begun for every page, and notes how long each took.
// The overview comes first once more, uncounted: it connects.
func round(ctx context.Context, config rookery.Config, pages []string, took [][]time.Duration, size []int) (err error) {
	svc, err := rookery.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, svc.Close()) }()
	api, err := svc.API(ctx, nil)
	if err != nil {
		return err
	}
	if _, _, err := ask(api.Handler(), "/ui/"); err != nil {
		return err
	}
	for i, target := range pages {
		d, n, err := ask(api.Handler(), target)
		if err != nil {
			return err
		}
		took[i], size[i] = append(took[i], d), n
	}
	return nil
}

func pages(jobs int) []string {
	return []string{
		"/ui/", "/ui/jobs", "/ui/jobs?q=status%3Aready", "/ui/jobs?q=status%3Aready+queue%3Aqueue-7", "/ui/jobs?q=status%3Ascheduled", "/ui/jobs?q=status%3Aretrying",
		"/ui/jobs?q=status%3Aout", "/ui/jobs?q=status%3Adead", "/ui/jobs?q=status%3Adead+kind%3Akind-3", "/ui/jobs?q=status%3Acompleted", "/ui/jobs?q=status%3Acancelled",
		"/ui/jobs?q=kind%3Anowhere", "/ui/jobs?q=queue%3Anowhere", "/ui/jobs?q=status%3Aready+kind%3Anowhere", "/ui/jobs?q=status%3Ascheduled+kind%3Anowhere",
		"/ui/jobs?q=since%3A1h", fmt.Sprintf("/ui/jobs?after=%d.0.0.", jobs/2), fmt.Sprintf("/ui/jobs/%d", jobs/2), fmt.Sprintf("/ui/jobs/%d", jobs-1),
		"/ui/charts?range=1h", "/ui/charts?range=6h", "/ui/charts?range=24h", "/ui/charts?range=7d", "/ui/charts?range=7d&queue=queue-7",
		"/ui/figures?range=1h&queue=queue-3", "/ui/figures?range=6h&queue=queue-3", "/ui/figures?range=24h&queue=queue-3", "/ui/figures?range=7d&queue=queue-3",
		"/ui/queues", "/ui/queues/queue-7", "/ui/workers", "/ui/dead", "/ui/operations", "/ui/operations?before=500", "/ui/operations/1000",
		"/ui/operations/new?action=redrive&q=status%3Adead", "/ui/operations/new?action=cancel&q=status%3Aready+kind%3Akind-3", "/ui/operations/new?action=cancel&q=queue%3Aqueue-7",
		"/ui/operations/new?action=delete&q=status%3Acompleted+kind%3Anowhere", "/ui/audit", "/ui/storage", "/ui/about",
	}
}

// ask asks for one page, more than a second after the last, when the glance that pages
// share has to be read anew.
func ask(h http.Handler, target string) (took time.Duration, size int, err error) {
	<-time.After(1100 * time.Millisecond)
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	start := time.Now()
	h.ServeHTTP(w, r)
	took = time.Since(start)
	if w.Code != http.StatusOK {
		return 0, 0, fmt.Errorf("%s = %d", target, w.Code)
	}
	return took, w.Body.Len(), nil
}

func report(pages []string, took [][]time.Duration, size []int) {
	fmt.Print("| page | first, ms | median, ms | most, ms | KB |\n|---|---|---|---|---|\n")
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	for i, target := range pages {
		first := took[i][0]
		slices.Sort(took[i])
		fmt.Printf("| `%s` | %.1f | %.1f | %.1f | %d |\n", target, ms(first), ms(took[i][len(took[i])/2]), ms(took[i][len(took[i])-1]), size[i]/1024)
	}
}

// loadAverage is the machine's, of the last minute; "?" where that cannot be read.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	load, _, _ := strings.Cut(string(text), " ")
	return load
}
