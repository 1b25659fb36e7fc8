// Command retention measures what it costs to be rid of finished jobs: slices of
// DELETE, as relays do it, or partitions by id that are dropped whole. One run is one
// variant on a private, durable Postgres; several may run side by side, so that the
// machine's mood is the same for all. In bench:
//
//	go build -o /tmp/retention ./probes/retention
//	for p in 0 4 16 64; do nice -n 5 /tmp/retention -partitions $p > /tmp/retention-$p.txt & done; wait
//	/tmp/retention -big 2000000   # only what a vacuum costs in a large table
//
//	producers ─COPY─▶ jobs ─claim─▶ relay ─batch─▶ worker ─reconcile─▶ … keep … ─▶ retention
//
// Each part logs in as a role of its own, by which /proc tells their backends apart.
// Lines begin with "point" (every 5 s), "sum" (of the steady time), "vacuum" (what
// Postgres' log says of it, by table), "took" (statements, and how long they took
// beside DDL), "still" (small statements, one by one, while retention rests) and "form"
// (an UPDATE that names its jobs by a join, and by an array).
//
// What it does not do: no Redis, no failing jobs, and no walk behind the front, since
// nothing stays there. Of many partitions all but about four are empty and stand in
// for older ones: what a statement pays for a partition is not in its rows, and the
// others are then replaced as often as in a run with four.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	partitions  int           // attached in all; 0: slices of DELETE
	compression string        // of full pages in the WAL
	rate        float64       // jobs a second
	keep        time.Duration // how long finished jobs stay
	steady      time.Duration // how long it is measured, once jobs are being removed
	batch       int           // jobs of one COPY
	rounds      int           // of small statements
	big         int           // jobs; 0: not that, but the lives of jobs
}

func main() {
	var o options
	flag.IntVar(&o.partitions, "partitions", 0, "how many are attached; 0: retention by DELETE")
	flag.Float64Var(&o.rate, "rate", 2000, "jobs a second")
	flag.DurationVar(&o.keep, "keep", time.Minute, "for how long finished jobs are kept")
	flag.DurationVar(&o.steady, "steady", 4*time.Minute, "for how long to measure")
	flag.IntVar(&o.batch, "batch", 200, "jobs of one COPY")
	flag.IntVar(&o.rounds, "rounds", 1000, "of each kind of small statements")
	flag.StringVar(&o.compression, "wal-compression", "off", "Postgres' wal_compression")
	flag.IntVar(&o.big, "big", 0, "only: what vacuums cost in a table of so many jobs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "retention:", err)
		os.Exit(1)
	}
}

// run warms up until whole generations are removed, measures, and then rests.
func run(ctx context.Context, o options) error {
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	if o.big > 0 {
		return s.big(ctx, o.big)
	}
	life := s.begin(ctx, s.produce, s.produce, s.claim, s.complete, s.sweep)
	remove := s.begin(ctx, s.retention())
	if err := s.points(ctx, o.keep+o.keep/10+45*time.Second, "warm"); err != nil {
		return err
	}
	began, before := time.Now(), s.reading(ctx)
	s.seen.forget()
	if err := s.points(ctx, o.steady, "point"); err != nil {
		return err
	}
	s.reading(ctx).minus(before).print("sum")
	s.seen.print()
	remove() // it rests, and with it all DDL
	life()
	s.vacuums(began)
	if err := s.still(ctx); err != nil {
		return err
	}
	return s.forms(ctx)
}
