package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// workload is one way to insert.
type workload struct {
	name      string
	producers int
	perTx     int // 1: INSERT, else COPY
	payload   int // bytes, about
	rate      int // transactions a second, at even distances; 0: as fast as they go
	jobs      int
}

func (w workload) title() string {
	return fmt.Sprintf("%s, %d B, %d jobs", w.name, w.payload, w.jobs)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		slog.ErrorContext(ctx, "probe failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	rounds := flag.Int("rounds", 3, "of every variant and workload")
	many := flag.Int("jobs", 60000, "of a round that inserts 100 a transaction")
	few := flag.Int("singles", 10000, "of a round that inserts 1 a transaction")
	names := flag.String("variants", strings.Join(variants, ","), "which ones")
	survey := flag.Bool("survey", true, "survey before each claim from ready, as a relay does")
	only := flag.String("only", "", "workloads whose title contains this")
	flag.Parse()

	var workloads []workload
	for _, payload := range []int{120, 1024} {
		workloads = append(workloads,
			workload{"4 producers × 100 a transaction", 4, 100, payload, 0, *many},
			workload{"8 producers × 1 a transaction", 8, 1, payload, 0, *few},
			workload{"8 producers × 1 a transaction, 1,000 a second", 8, 1, payload, 1000, *few})
	}
	workloads = slices.DeleteFunc(workloads, func(w workload) bool { return !strings.Contains(w.title(), *only) })
	return measure(ctx, strings.Split(*names, ","), workloads, *rounds, *survey)
}

// measure runs all rounds, the variants by turns.
func measure(ctx context.Context, names []string, workloads []workload, rounds int, survey bool) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx) // the streams
	var servers []*server
	defer func() {
		cancel()
		if broken := g.Wait(); !errors.Is(broken, context.Canceled) {
			err = errors.Join(err, broken)
		}
		for _, s := range servers {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	for _, name := range names {
		s, err := openServer(ctx, g, name, survey)
		if err != nil {
			return fmt.Errorf("open %s: %w", name, err)
		}
		servers = append(servers, s)
	}
	for _, w := range workloads {
		found := map[string][]round{}
		for n := range rounds + 1 {
			for _, s := range servers {
				short := w
				if n == 0 { // the first warms up
					short.jobs /= 4
				}
				r, err := s.round(ctx, short)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.variant, w.name, err)
				}
				if n > 0 {
					found[s.variant] = append(found[s.variant], r)
				}
			}
		}
		report(os.Stdout, w, names, found)
	}
	return nil
}
