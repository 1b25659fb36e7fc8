package redisq

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// BenchmarkWorker_OneOfFiftyQueues is workload j without Postgres and relay: how long
// jobs of 49 queues wait from push to start, alone and beside a queue that is always full.
func BenchmarkWorker_OneOfFiftyQueues(b *testing.B) {
	for _, full := range []bool{false, true} {
		b.Run(fmt.Sprintf("full=%t", full), func(b *testing.B) {
			c := &crowd{fixture: newBench(b)}
			c.queues = []*fixture{c.fixture}
			for len(c.queues) < 50 {
				c.queues = append(c.queues, c.another())
			}
			c.run(b, full)
		})
	}
}

// crowd is fifty queues, the first of which may be full, and a Store for which
// everything is current.
type crowd struct {
	*fixture
	queues []*fixture
	next   atomic.Int64 // the last id

	mu    sync.Mutex
	waits []time.Duration
}

// push pushes n jobs whose payload is the time.
func (c *crowd) push(q *fixture, n int) {
	id := job.NewDispatchID()
	jobs := make([]job.Envelope, 0, n)
	for range n {
		jobs = append(jobs, q.jobs(id, c.next.Add(1))[0])
		jobs[len(jobs)-1].Payload = json.RawMessage(strconv.FormatInt(time.Now().UnixNano(), 10))
	}
	_, err := c.Push(context.Background(), q.batch(jobs...))
	c.no(err)
}

// run pushes b.N jobs, 200 a second.
func (c *crowd) run(b *testing.B, full bool) {
	o := workers.Options{Concurrency: 100}
	for _, q := range c.queues {
		o.Queues = append(o.Queues, workers.QueueWeight{Name: q.queue, Weight: 1})
	}
	var busy atomic.Int64
	registry := workers.NewRegistry()
	registry.Handle("send", workers.HandlerFunc(func(_ context.Context, j *workers.Job) error {
		at, _ := strconv.ParseInt(string(j.Payload), 10, 64)
		if j.QueueName == c.queue {
			busy.Add(1)
		} else {
			c.mu.Lock()
			c.waits = append(c.waits, time.Since(time.Unix(0, at)))
			c.mu.Unlock()
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a handler that takes so long
		return nil
	}), workers.HandlerOptions{})
	w, err := workers.New(c, c.Client, c.Client, registry, o)
	c.no(err)
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { c.no(w.Run(ctx)) })
	if full {
		all.Go(func() { c.fill(ctx) })
	}
	time.Sleep(2 * time.Second) //nolint:forbidigo // until it runs steadily
	c.mu.Lock()
	c.waits = nil
	c.mu.Unlock()
	took := busy.Load()
	began := time.Now()
	b.ResetTimer()
	for range b.N {
		time.Sleep(time.Duration(rand.ExpFloat64() * float64(5*time.Millisecond))) //nolint:forbidigo // at random moments
		c.push(c.queues[1+rand.IntN(49)], 1)
	}
	time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the last ones begin
	b.ReportMetric(float64(busy.Load()-took)/time.Since(began).Seconds(), "others/s")
	stop()
	all.Wait()
	slices.Sort(c.waits)
	for _, p := range []float64{.5, .9, .99} {
		b.ReportMetric(float64(c.waits[int(p*float64(len(c.waits)-1))].Microseconds())/1000, fmt.Sprintf("p%g-ms", p*100))
	}
}

// fill keeps the first queue full.
func (c *crowd) fill(ctx context.Context) {
	for ctx.Err() == nil {
		if at, err := c.Depths(ctx, []string{c.queue}); err == nil && at[c.queue].Waiting[job.Normal] < 2000 {
			for range 4 {
				c.push(c.fixture, job.MaxBatch)
			}
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // as a relay does at a full window
	}
}

func (c *crowd) Reconcile(_ context.Context, _ string, outcomes []job.Outcome) ([]job.Verdict, error) {
	verdicts := make([]job.Verdict, len(outcomes))
	for i := range outcomes {
		verdicts[i] = job.Verdict{Ref: outcomes[i].Ref, Status: job.Completed}
	}
	return verdicts, nil
}
func (c *crowd) Verify(_ context.Context, refs []job.Ref) ([]job.Ref, error) { return refs, nil }
func (c *crowd) Beat(context.Context, job.Process) (job.Heard, error) {
	epochs := map[string]int64{}
	for _, q := range c.queues {
		epochs[q.queue] = 1
	}
	return job.Heard{Epochs: epochs}, nil
}
func (c *crowd) Retire(context.Context, string) error                { return nil }
func (c *crowd) Hold(context.Context, job.Hold) ([]int64, error)     { return nil, nil }
func (c *crowd) Claim(context.Context, job.Claim) (job.Batch, error) { return job.Batch{}, nil }
func (c *crowd) Renew(context.Context, string, time.Duration, []int64) (current, cancelled []job.Ref, err error) {
	return nil, nil, nil
}

// BenchmarkWait_Look is a look at fifty bells that have no token, and beside it what it
// spares: a take of a queue without jobs.
func BenchmarkWait_Look(b *testing.B) {
	f := newBench(b)
	queues := []string{f.queue}
	for len(queues) < 50 {
		queues = append(queues, f.another().queue)
	}
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			_, err := f.Wait(context.Background(), queues, 0)
			f.no(err)
		}
	})
	b.Run("take", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			f.taken(strconv.Itoa(i), 100)
		}
	})
}
