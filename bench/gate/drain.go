package gate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
	"github.com/penguinmails/rookery/job"
)

// The workload, see the package comment.
const (
	singles = 2000
	many    = 38_000
	drained = singles + many
	batch   = 500 // jobs of a COPY; what a relay claims, and a worker takes and records, at most
	queues  = 5
	slots   = 10_000
)

const (
	patience  = time.Minute // with any part
	lookEvery = 50 * time.Millisecond
)

// drain is one run, on servers of its own. One goroutine uses it.
type drain struct {
	*lab.Lab
	looks float64         // commits of our own
	idle  float64         // surveys of relays that had nothing left to hand out
	begin job.EventCursor // what the listener has read
}

// Measure counts what each part takes. dir is the folder of bench, whose program the
// running one must be: its actors are started by its own name.
func Measure(ctx context.Context, dir string) (counts []Count, err error) {
	l, err := lab.Open(ctx, lab.Options{System: "rookery", Dir: dir, Counted: true, Settings: map[string]string{
		"autovacuum":               "off", // what Postgres does by itself is not the jobs'
		"pg_stat_statements.track": "all", // statements inside functions too
	}})
	if err != nil {
		return nil, err
	}
	d := &drain{Lab: l}
	defer func() { err = errors.Join(err, d.Close()) }()
	before, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		jobs float64 // 0: not counted
		run  func(context.Context) error
	}{
		{"insert", singles, d.insert},
		{"copy", many, d.copy},
		{"vacuum", 0, d.vacuum},
		{"relay", drained, d.relay},
		{"worker", drained, d.work},
		{"once more", 0, d.again},
		{"listened", drained, d.work},
		{"listener", drained, d.listen},
	} {
		if err := part.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		now, err := d.read(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		if part.jobs > 0 {
			counts = append(counts, now.since(before).counts(part.name, part.jobs)...)
		}
		before = now
	}
	return counts, nil
}

func (d *drain) insert(ctx context.Context) error {
	return d.produce(ctx, "-jobs", strconv.Itoa(singles), "-per-tx", "1", "-business")
}

func (d *drain) copy(ctx context.Context) error {
	return d.produce(ctx, "-jobs", strconv.Itoa(many), "-first", strconv.Itoa(singles), "-per-tx", strconv.Itoa(batch))
}

func (d *drain) produce(ctx context.Context, args ...string) error {
	p, err := d.Start(ctx, "producers", "produce", false, append(args, "-producers", "1", "-queues", strconv.Itoa(queues))...)
	if err != nil {
		return err
	}
	if err := p.Go(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, _, err = p.Wait(ctx)
	return err
}

func (d *drain) vacuum(ctx context.Context) error {
	_, err := d.Pool.Exec(ctx, `VACUUM ANALYZE`)
	return err
}

// relay has all jobs handed to Redis. It may go when they are gone from ready and
// their pushes are recorded: a batch that it had claimed and not pushed would wait for
// another relay.
func (d *drain) relay(ctx context.Context) error {
	r, err := d.Start(ctx, "relay", "relay", false)
	if err != nil {
		return err
	}
	if err := d.while(ctx, `EXISTS (SELECT FROM outbox.ready) OR EXISTS (SELECT FROM outbox.dispatches WHERE seq IS NULL)`); err != nil {
		return err
	}
	left, err := d.surveys(ctx)
	if err != nil {
		return err
	}
	if err := r.Stop(ctx); err != nil {
		return err
	}
	all, err := d.surveys(ctx)
	d.idle += all - left
	return err
}

// surveys counts those that relays have made so far.
func (d *drain) surveys(ctx context.Context) (n float64, err error) {
	d.looks++
	err = d.Pool.QueryRow(ctx, ours+`SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements WHERE starts_with(query, '-- name: Survey ')`).Scan(&n)
	return n, err
}

// work has all jobs run, from Redis alone. A worker that ends gives its outcomes two
// seconds; how many are recorded by then is a matter of timing.
func (d *drain) work(ctx context.Context) error {
	w, err := d.Start(ctx, "workers", "work", false, "-concurrency", strconv.Itoa(slots), "-queues", strconv.Itoa(queues))
	if err != nil {
		return err
	}
	if err := d.while(ctx, `EXISTS (SELECT FROM outbox.jobs WHERE status <> 'completed')`); err != nil {
		return err
	}
	return w.Stop(ctx)
}

// while waits as long as a condition holds.
func (d *drain) while(ctx context.Context, condition string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for holds := true; holds; d.looks++ {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait while %s: %w", condition, ctx.Err())
		case <-time.After(lookEvery):
		}
		if err := d.Pool.QueryRow(ctx, ours+`SELECT `+condition).Scan(&holds); err != nil {
			return fmt.Errorf("look whether %s: %w", condition, err)
		}
	}
	return nil
}
