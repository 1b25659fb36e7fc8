package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// remote is a handler that returns what it is told, or the cause of its context's end.
type remote struct {
	told chan error
	job  chan *Job
}

func newRemote() remote { return remote{make(chan error), make(chan *Job, 1)} } // one: each gets one job

func (h remote) Work(ctx context.Context, j *Job) error {
	h.job <- j
	select {
	case err := <-h.told:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pair is a worker that has taken job 1, and one that may adopt it.
func pair(t *testing.T, m *memory) (giver, heir *rig, g, h remote, e *job.Envelope) {
	t.Helper()
	jobs := envelopes("k", 1, 1)
	jobs[0].QueueName = "q"
	m.push("q", jobs...)
	g, h = newRemote(), newRemote()
	giver = start(t, m, g.Work, handing(NewDemand(), nil))
	giver.w.o.Demand.Add(1)
	giver.sleep(time.Second)
	giver.wantLeases(1)
	heir = start(t, m, h.Work, handing(NewDemand(), nil), func(o *Options, _ *Registry) { o.ID, o.Concurrency = "heir", 1 })
	heir.sleep(time.Second)
	return giver, heir, g, h, &jobs[0]
}

func TestAdopt_OutlivesTheWorkerThatTookIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		giver, heir, g, h, e := pair(t, m)
		if err := heir.w.Adopt(t.Context(), e); err != nil {
			t.Fatalf("Adopt = %v", err)
		}
		g.told <- ErrAbandoned
		for range 8 {
			heir.sleep(job.Lease / 2)
			if lost := m.reap(); len(lost) > 0 {
				t.Fatalf("the lease of %v has ended, want the heir to renew it", lost)
			}
		}
		h.told <- nil
		heir.sleep(time.Second)
		heir.wantOutcome(1, job.Succeeded)
		heir.wantLeases(0)
		giver.end()
		heir.end()
	})
}

// Whoever ends the attempt first has ended it, and the other learns of it.
func TestAdopt_EndsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, first := range []string{"giver", "heir"} {
			m := newMemory()
			giver, heir, g, h, e := pair(t, m)
			if err := heir.w.Adopt(t.Context(), e); err != nil {
				t.Fatalf("Adopt = %v", err)
			}
			winner, loser := g, heir
			if first == "heir" {
				winner, loser = h, giver
			}
			winner.told <- nil
			loser.sleep(2 * job.Beat)
			giver.wantOutcome(1, job.Succeeded)
			if n := len(giver.recorded(1)); n != 1 {
				t.Errorf("%s first: %d outcomes accepted, want 1", first, n)
			}
			if c := loser.w.held.counts(); c.attempts+c.running != 0 {
				t.Errorf("%s first: the other holds %d attempts and runs %d, want none", first, c.attempts, c.running)
			}
			giver.wantLeases(0)
			giver.end()
			heir.end()
		}
	})
}

// With Redis away one of the two holds the attempt in Postgres, and the other knows that its
// own lease is worth nothing before anybody can have taken the job back.
func TestAdopt_RedisGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		giver, heir, g, h, e := pair(t, m)
		if err := heir.w.Adopt(t.Context(), e); err != nil {
			t.Fatalf("Adopt = %v", err)
		}
		one, two := <-g.job, <-h.job
		for _, j := range []*Job{one, two} {
			if fresh, asked, held := j.Leased(); !fresh || asked || held {
				t.Errorf("Leased while Redis answers = %t, %t, want it fresh, in Redis", fresh, held)
			}
		}
		var o outage
		o.redis.Store(true)
		heir.set(func(m *memory) { m.before = o.before })
		heir.sleep(job.Beat * 8 / 5) // held after 7 s of silence
		_, _, first := one.Leased()
		fresh, _, second := two.Leased()
		if first == second {
			t.Errorf("held in Postgres by the one %t, by the other %t, want by one of them", first, second)
		}
		if fresh && !second {
			t.Error("the heir's lease is fresh, and nobody has renewed it for 7 s")
		}
		close(g.told)
		close(h.told)
		heir.sleep(time.Second)
		heir.wantRecorded(1, job.Succeeded)
		o.redis.Store(false)
		giver.end()
		heir.end()
	})
}

func TestAdopt_Refuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		giver, heir, g, _, e := pair(t, m)
		second := envelopes("k", 2, 1)[0]
		second.QueueName = "q"
		refused := func(what string, e job.Envelope, want error) {
			t.Helper()
			if err := heir.w.Adopt(t.Context(), &e); !errors.Is(err, want) {
				t.Errorf("Adopt of %s = %v, want %v", what, err, want)
			}
			if n := heir.w.held.counts().attempts; n != 0 {
				t.Errorf("after Adopt of %s %d attempts are held, want 0", what, n)
			}
		}
		other := *e
		other.QueueName = "other"
		refused("another queue's", other, job.ErrUnavailable)
		refused("what is over", second, job.ErrLeaseLost)
		heir.set(func(m *memory) { m.leases[second.Ref()] = time.Now().Add(job.Lease) })
		refused("what is over, and still leased", second, job.ErrLeaseLost)
		heir.set(func(m *memory) {
			delete(m.leases, second.Ref())
			m.rows[second.Ref()] = job.Dispatched
		})
		refused("what nobody has leased", second, job.ErrUnavailable)
		heir.set(func(m *memory) {
			m.leases[second.Ref()] = time.Now().Add(time.Hour)
			m.cancelled[second.Ref()] = true
		})
		refused("what was called off", second, job.ErrCancelled)
		heir.set(func(m *memory) { delete(m.cancelled, second.Ref()) })
		if err := heir.w.Adopt(t.Context(), e); err != nil {
			t.Fatalf("Adopt = %v", err)
		}
		if err := heir.w.Adopt(t.Context(), &second); !errors.Is(err, job.ErrTooManyLeases) {
			t.Errorf("Adopt without a slot = %v, want %v", err, job.ErrTooManyLeases)
		}
		g.told <- nil
		giver.end()
		heir.end()
		refused("anything by a worker that has stopped", second, job.ErrUnavailable)
	})
}
