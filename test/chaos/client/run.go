package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// order is what a payload tells its worker, see ../worker.
type order struct {
	Key   string `json:"key"`
	MS    int    `json:"ms"`
	Fails int    `json:"fails"` // fail while failure_count is below
}

// begin runs a leased job, whatever becomes of ctx.
func (c *client) begin(ctx context.Context, l *lease) {
	l.ended = make(chan string, 1)
	c.mu.Lock()
	c.held[l.ID] = l
	c.mu.Unlock()
	c.runs.Go(func() {
		defer c.release(1)
		c.run(context.WithoutCancel(ctx), l)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.held, l.ID)
	})
}

// run does what the job's payload says, and tells a server how it ended.
func (c *client) run(ctx context.Context, l *lease) {
	act := history.Act{Word: history.Started, Key: l.Payload.Key, ID: l.Job, Attempt: l.AttemptCount, Dispatch: l.dispatch, Target: l.server}
	c.note(act)
	c.point(inHandler)
	act.Word, act.How = history.Finished, l.work()
	c.note(act)
	c.point(beforeAck)
	verb, body := "ack", ""
	switch act.How {
	case "ok":
	case "failed":
		verb, body = "nack", `, "error": {"type": "Told", "message": "to fail"}`
	case "shutdown":
		verb = "release"
	default:
		return // the lease is lost: there is nothing to say
	}
	l.stopBeating()
	status, server := c.api.settle(ctx, l, verb, body)
	c.point(afterAck)
	act.Target = server
	if act.Word, act.How = history.Settled, status; status == "" {
		act.Word, act.How = history.Refused, verb
	}
	c.note(act)
}

func (c *client) note(act history.Act) {
	if err := c.log.Note(act); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1) // a history with holes proves nothing
	}
}

// work runs the job, and returns how it ended: ok, failed, or what it was told.
func (l *lease) work() string {
	done := time.NewTimer(time.Duration(l.Payload.MS) * time.Millisecond)
	defer done.Stop()
	select {
	case <-done.C:
	case how := <-l.ended:
		return how
	}
	if int(l.FailureCount) < l.Payload.Fails {
		return "failed"
	}
	return "ok"
}

// lease is one, with the job it is of.
type lease struct {
	ID           string `json:"lease_id"`
	Token        string `json:"lease_token"`
	Job          int64  `json:"id"`
	AttemptCount int32  `json:"attempt_count"`
	FailureCount int16  `json:"failure_count"`
	Payload      order  `json:"payload"`

	dispatch int64
	server   string // who gave it
	ended    chan string

	mu      sync.Mutex // guards what follows
	renewed time.Time  // when what extended it last was sent
	settled bool       // an ack, nack or release is on its way
}

// end tells the run to end.
func (l *lease) end(how string) {
	select {
	case l.ended <- how:
	default: // it was told before
	}
}

func (l *lease) stopBeating() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = true
}

func (c *client) endAll(how string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.held {
		l.end(how)
	}
}

// beat extends what is held, three times in a lease, and ends the runs that have lost
// theirs: a server said so, or none has extended it in time.
func (c *client) beat(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, beatEvery)
		c.beatOnce(ctx)
	}
}

func (c *client) beatOnce(ctx context.Context) {
	var held []*lease
	c.mu.Lock()
	for _, l := range c.held {
		l.mu.Lock()
		if !l.settled {
			held = append(held, l)
		}
		l.mu.Unlock()
	}
	c.mu.Unlock()
	if len(held) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	for part := range slices.Chunk(held, 500) {
		c.extend(ctx, part)
	}
	now := time.Now()
	for _, l := range held {
		l.mu.Lock()
		late := now.Sub(l.renewed) >= leaseTime
		l.mu.Unlock()
		if late {
			l.end("lease_lost")
		}
	}
}

// extend asks one server after the other until none of leases is left without a word.
func (c *client) extend(ctx context.Context, leases []*lease) {
	s := c.api.server()
	for range 2 * len(c.api.servers) {
		if len(leases) == 0 || ctx.Err() != nil {
			return
		}
		sent := time.Now()
		told, err := c.api.beat(ctx, s, c.name, leases)
		s = c.api.after(s)
		if err != nil {
			continue
		}
		leases = slices.DeleteFunc(slices.Clone(leases), func(l *lease) bool {
			switch told[l.ID] {
			case "elsewhere":
				return false
			case "":
				l.mu.Lock()
				l.renewed = sent
				l.mu.Unlock()
			default:
				l.end(told[l.ID])
			}
			return true
		})
	}
}
