package workers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// One holder of an attempt has moved it in Postgres, of which Redis says nothing: the
// other, whose lease lives on there, learns of it, says nothing of the attempt, and gives the lease up.
func TestDoubt_OneHolderMovesItUnseenByRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		giver, heir, g, h, e := pair(t, m)
		if err := heir.w.Adopt(t.Context(), e); err != nil {
			t.Fatalf("Adopt = %v", err)
		}
		<-g.job
		moved := job.Ref{ID: e.ID, DispatchID: e.DispatchID + 1}
		giver.set(func(m *memory) {
			m.rows[moved] = m.rows[e.Ref()]
			delete(m.rows, e.Ref())
		})
		giver.sleep(2*job.Beat + time.Second)
		for _, r := range []*rig{giver, heir} {
			if c := r.w.held.counts(); c.attempts+c.running != 0 {
				t.Errorf("%s holds %d attempts and runs %d, want none: they are over", r.w.o.ID, c.attempts, c.running)
			}
		}
		giver.wantLeases(0)
		if got := giver.recorded(e.ID); len(got) != 0 {
			t.Errorf("outcomes accepted = %v, want none", got)
		}
		close(g.told)
		close(h.told)
		giver.end()
		heir.end()
	})
}

// Nobody but who hands attempts on asks Postgres about them with each beat.
func TestDoubt_OnlyWhoHandsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, d := range []*Demand{nil, NewDemand()} {
			m := newMemory()
			jobs := envelopes("k", 1, 1)
			jobs[0].QueueName = "q"
			m.push("q", jobs...)
			g := newRemote()
			r := start(t, m, g.Work, handing(d, nil))
			if d != nil {
				d.Add(1)
			}
			r.sleep(time.Second)
			var asked atomic.Int32
			r.set(func(m *memory) {
				m.before = func(method string) error {
					if method == "verify" {
						asked.Add(1)
					}
					return nil
				}
			})
			r.sleep(3 * job.Beat)
			if got, want := asked.Load() > 0, d != nil; got != want {
				t.Errorf("who hands attempts on: %t, is asked about: %t", want, got)
			}
			close(g.told)
			r.sleep(time.Second)
			r.end()
		}
	})
}

// A holder that was cut off from Redis and Postgres for 13 s, as one that was frozen, does
// not put the job back once it reaches them again: another may have it.
func TestDoubt_WhatEndsByItselfIsLeftToTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		g := newRemote()
		jobs := envelopes("k", 1, 1)
		jobs[0].QueueName = "q"
		m.push("q", jobs...)
		giver := start(t, m, func(ctx context.Context, j *Job) error {
			err := g.Work(ctx, j)
			if errors.Is(err, job.ErrLeaseLost) {
				return ErrAbandoned
			}
			return err
		}, handing(NewDemand(), nil))
		giver.w.o.Demand.Add(1)
		giver.sleep(time.Second)
		e := <-g.job
		var cut atomic.Bool
		giver.set(func(m *memory) {
			m.before = func(method string) error {
				switch {
				case !cut.Load():
					return nil
				case method == "hold": // certainly not carried out, but it takes its time to say so
					<-time.After(4 * time.Second)
					return job.ErrUndone
				}
				return job.ErrUnavailable
			}
		})
		cut.Store(true)
		giver.sleep(job.Lease + time.Second)
		cut.Store(false)
		giver.set(func(m *memory) { m.leases[e.Ref()] = time.Now().Add(time.Hour) }) // the other renews it
		giver.sleep(3 * job.Beat)
		if got := giver.recorded(e.ID); len(got) != 0 {
			t.Errorf("outcomes accepted = %v, want none", got)
		}
		if c := giver.w.held.counts(); c.attempts+c.running+c.outcomes != 0 {
			t.Errorf("%+v is left, want nothing", c)
		}
		close(g.told)
		giver.end()
	})
}
