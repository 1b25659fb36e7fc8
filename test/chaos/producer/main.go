// Command producer inserts jobs until it is told to stop, in transactions of its own
// or over HTTP, and writes down what became of each: offered before the commit, then
// committed, rolled back, or unknown when no answer came. One transaction in ten is
// rolled back. A server that is away is no reason to stop.
package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// txLimit bounds a transaction: an outcome that has not come by then is unknown.
const txLimit = 5 * time.Second

// door is a way in for jobs. It returns the ids, when they are known, and what
// became of the jobs, which it offers to log before they can exist.
type door interface {
	insert(ctx context.Context, jobs []spec, back bool) (history.Word, error)
}

// producer draws jobs and brings them to the door.
type producer struct {
	name   string
	life   string
	rate   float64
	queues []string
	mix    mix
	log    *history.Log
	r      *rand.Rand
	n      int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "producer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	p := &producer{name: os.Getenv("CHAOS_NAME"), life: os.Getenv("CHAOS_LIFE"), queues: strings.Split(os.Getenv("CHAOS_QUEUES"), ",")}
	var err error
	if p.rate, err = strconv.ParseFloat(os.Getenv("CHAOS_RATE"), 64); err != nil || p.rate <= 0 {
		return fmt.Errorf("CHAOS_RATE: %w", errors.Join(err, errors.New("must be positive")))
	}
	if p.mix, err = find(os.Getenv("CHAOS_MIX")); err != nil {
		return err
	}
	seed, err := strconv.ParseUint(os.Getenv("CHAOS_SEED"), 10, 64)
	if err != nil {
		return fmt.Errorf("CHAOS_SEED: %w", err)
	}
	mark := fnv.New64a()
	_, _ = mark.Write([]byte(p.name + "/" + p.life)) // never fails
	p.r = rand.New(rand.NewPCG(seed, mark.Sum64()))
	if p.log, err = history.Open(os.Getenv("CHAOS_HISTORY"), p.name); err != nil {
		return err
	}
	defer func() { _ = p.log.Close() }() // nothing is buffered
	var d door
	if url := os.Getenv("CHAOS_HTTP"); url != "" {
		d = newAPI(url, p.log)
	} else {
		tables, err := newTables(ctx, os.Getenv("DATABASE_URL"), p.log)
		if err != nil {
			return err
		}
		defer tables.close()
		d = tables
	}
	p.produce(ctx, d)
	return nil
}

// produce inserts at the rate, one to eight jobs a transaction. What it missed while
// the door was shut it does not make up for.
func (p *producer) produce(ctx context.Context, d door) {
	next := time.Now()
	failed := 0
	for ctx.Err() == nil {
		jobs := p.draw()
		word, err := p.insert(ctx, d, jobs)
		if err != nil {
			if failed++; failed <= 20 {
				fmt.Fprintf(os.Stderr, "%s %s: %v\n", time.Now().UTC().Format(time.RFC3339Nano), word, err)
			}
			next = time.Now().Add(100 * time.Millisecond)
		}
		next = next.Add(time.Duration(float64(len(jobs)) / p.rate * float64(time.Second)))
		if now := time.Now(); next.Before(now.Add(-time.Second)) {
			next = now
		}
		t := time.NewTimer(time.Until(next))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

func (p *producer) draw() []spec {
	jobs := make([]spec, 1+p.r.IntN(8))
	for i := range jobs {
		p.n++
		jobs[i] = p.mix(p.r, p.queues)
		jobs[i].Key = fmt.Sprintf("%s.%s.%d", p.name, p.life, p.n)
	}
	return jobs
}

// insert outlives the end of ctx: a transaction that is broken off at the end would
// only add to what is unknown.
func (p *producer) insert(ctx context.Context, d door, jobs []spec) (history.Word, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), txLimit)
	defer cancel()
	return d.insert(ctx, jobs, p.r.IntN(10) == 0)
}

// acts are what the history gets to hear of jobs.
func acts(word history.Word, jobs []spec, ids []int64) []history.Act {
	list := make([]history.Act, len(jobs))
	for i, j := range jobs {
		list[i] = history.Act{Word: word, Key: j.Key, Priority: j.priority, Fails: j.Fails, Want: j.want, Most: j.maxAttempts}
		if i < len(ids) {
			list[i].ID = ids[i]
		}
		if !j.runAt.IsZero() {
			list[i].Due = j.runAt.UnixMicro()
		}
	}
	return list
}
