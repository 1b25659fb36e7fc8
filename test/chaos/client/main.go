// Command client is a worker as one in another language would be: it leases jobs over
// HTTP, does what their payloads tell it, and says how they ended. It writes down each
// run, its end, and what it was told of it.
//
// It keeps the rules of docs/pull-workers.md: it beats three times in a lease, ends a run
// whose lease is lost or could not be extended, and sends what has no answer again, to the
// next server. It knows a lease's id as a text, and takes from it only the number that
// the verifier knows runs by.
package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/internal/failpoint"
	"github.com/penguinmails/rookery/test/chaos/history"
)

// The points of ROOKERY_FAILPOINT.
const (
	afterLease = "client.after_lease" // jobs are leased, nothing is written down
	inHandler  = "client.in_handler"  // a run has begun
	beforeAck  = "client.before_ack"  // it has ended, no server knows
	afterAck   = "client.after_ack"   // a server has answered
)

const (
	leaseTime = 10 * time.Second
	beatEvery = leaseTime / 3
	waitTime  = 5 * time.Second // of a lease's long poll
	most      = 10              // jobs of one lease
	stopTime  = time.Second     // for runs, at SIGTERM; the rest is released
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

// client is one process.
type client struct {
	name  string
	log   *history.Log
	point func(string)
	api   *api
	slots chan struct{}
	runs  sync.WaitGroup

	mu   sync.Mutex // guards held
	held map[string]*lease
}

func run(ctx context.Context) error {
	c := &client{name: os.Getenv("CHAOS_NAME"), held: map[string]*lease{}}
	var err error
	if c.point, err = failpoint.FromEnv(); err != nil {
		return err
	}
	if c.point == nil {
		c.point = func(string) {}
	}
	if c.log, err = history.Open(os.Getenv("CHAOS_HISTORY"), c.name); err != nil {
		return err
	}
	defer func() { _ = c.log.Close() }() // nothing is buffered
	slots, err := strconv.Atoi(os.Getenv("CHAOS_SLOTS"))
	if err != nil {
		return fmt.Errorf("CHAOS_SLOTS: %w", err)
	}
	c.slots = make(chan struct{}, slots)
	if c.api, err = newAPI(os.Getenv("CHAOS_SERVERS"), os.Getenv("CHAOS_ROAM") != ""); err != nil {
		return err
	}
	beating, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	var beats, asking sync.WaitGroup
	beats.Go(func() { c.beat(beating) })
	for queue := range strings.SplitSeq(os.Getenv("CHAOS_QUEUES"), ",") {
		asking.Go(func() { c.ask(ctx, queue) })
	}
	<-ctx.Done()
	asking.Wait()
	time.AfterFunc(stopTime, func() { c.endAll("shutdown") })
	c.runs.Wait()
	stopBeats()
	beats.Wait()
	return nil
}

// ask leases jobs of a queue, as many as there are slots, until ctx ends.
func (c *client) ask(ctx context.Context, queue string) {
	for ctx.Err() == nil {
		free := c.reserve(ctx)
		if free == 0 {
			return
		}
		leases, err := c.api.lease(ctx, c.name, queue, free)
		if len(leases) > 0 {
			c.point(afterLease)
		}
		for _, l := range leases {
			if time.Since(l.renewed) >= leaseTime {
				c.release(1) // it stood still meanwhile: others have the job
				continue
			}
			c.begin(ctx, l)
		}
		c.release(free - len(leases))
		if err != nil {
			pause(ctx, time.Duration(50+rand.IntN(100))*time.Millisecond)
		}
	}
}

// reserve waits for a slot and takes up to [most] that are free; 0: ctx has ended.
func (c *client) reserve(ctx context.Context) (n int) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n = 1; n < most; n++ {
		select {
		case c.slots <- struct{}{}:
		default:
			return n
		}
	}
	return n
}

func (c *client) release(n int) {
	for range n {
		<-c.slots
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
