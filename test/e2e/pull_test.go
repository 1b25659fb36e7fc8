package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// A server is killed with clients' leases in its memory: what nobody acks runs again,
// and costs a loss; what is acked at another server before that counts; and what is
// acked after that is refused.
func TestPull_ServerKilled(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	doomed, one := w.serve()
	_, two := w.serve()
	quick, late, others := newPuller(), newPuller(), newPuller()
	w.insert(40, `{}`)
	early, caught := quick.leaseAll(t, one, 20, "1m"), late.leaseAll(t, one, 20, "1m")
	w.insert(300, `{}`)
	stop := others.working(t, 4, one, two)
	devtest.Until(t, patience, "50 acks", func() (bool, error) { return others.count("ok") >= 50, nil })
	doomed.kill()
	for _, l := range early {
		if a, err := quick.ack(t.Context(), two, l); err != nil || a.code != http.StatusOK && a.Code != "lease_lost" {
			t.Errorf("ack elsewhere = %d %s, %v", a.code, a.Code, err)
		}
	}
	if quick.count("ok") == 0 {
		t.Error("no ack counted at the server that is left: it proves nothing")
	}
	ids := make([]int64, len(caught))
	for i, l := range caught {
		ids[i] = l.ID
	}
	w.untilStatus(patience, "completed", ids)
	for _, l := range caught {
		if a, err := late.ack(t.Context(), two, l); err != nil || a.code != http.StatusConflict || a.Code != "lease_lost" {
			t.Errorf("late ack = %d %s, %v, want 409 lease_lost", a.code, a.Code, err)
		}
	}
	f := w.verifyPulled(patience, allowance{reruns: len(early) + len(caught) + 4*5}, quick, late, others)
	stop()
	for _, id := range ids {
		if j := f.jobs[id]; j.Losses != 1 || j.Failures != 0 || j.Attempts != 2 {
			t.Errorf("job %d has lost_count %d, failure_count %d, attempt_count %d, want 1, 0, 2", id, j.Losses, j.Failures, j.Attempts)
		}
	}
}

// A server ends, killed or told to, with leases whose clients go on at another: that one
// keeps them, nothing runs again, and nobody is blamed.
func TestPull_ExtendedAfterItsServersEnd(t *testing.T) {
	slow(t)
	for name, end := range map[string]func(*process){
		"killed":  (*process).kill,
		"stopped": func(p *process) { p.signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{lease: 15 * time.Second})
			doomed, one := w.serve()
			_, two := w.serve()
			p := newPuller()
			w.insert(30, `{}`)
			held := p.leaseAll(t, one, 30, "1m")
			beat := func(base string) {
				t.Helper()
				keys := make([]string, len(held))
				for i, l := range held {
					keys[i] = fmt.Sprintf(`{"lease_id": %q, "lease_token": %q}`, l.LeaseID, l.LeaseToken)
				}
				a, err := p.ask(t.Context(), base+"/v1/workers/w/heartbeat", `{"leases": [`+strings.Join(keys, ",")+`]}`)
				if err != nil || a.code != http.StatusOK || len(a.Lost)+len(a.Cancelled)+len(a.Elsewhere) > 0 {
					t.Fatalf("heartbeat = %+v, %v, want all extended", a, err)
				}
			}
			beat(one)
			end(doomed)
			beat(two)
			doomed.wait(time.Minute)
			gone := time.Now()
			devtest.Until(t, patience, "a lease to pass, which only the other can have renewed", func() (bool, error) {
				beat(two)
				return time.Since(gone) > w.lease+3*time.Second, nil
			})
			p.ackMany(t, two, held)
			w.wantNoLosses(w.verifyPulled(patience, allowance{}, p))
		})
	}
}

// A server stands still for longer than a lease, while its clients go on at another: when it
// goes on, it does not put back what it can renew no more, for the other has it.
func TestPull_ExtendedWhileItsServerStandsStill(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	frozen, one := w.serve()
	_, two := w.serve()
	p := newPuller()
	w.insert(30, `{}`)
	held := p.leaseAll(t, one, 30, "2m")
	beat := func() {
		t.Helper()
		keys := make([]string, len(held))
		for i, l := range held {
			keys[i] = fmt.Sprintf(`{"lease_id": %q, "lease_token": %q}`, l.LeaseID, l.LeaseToken)
		}
		a, err := p.ask(t.Context(), two+"/v1/workers/w/heartbeat", `{"leases": [`+strings.Join(keys, ",")+`]}`)
		if err != nil || a.code != http.StatusOK || len(a.Lost)+len(a.Cancelled)+len(a.Elsewhere) > 0 {
			t.Fatalf("heartbeat = %+v, %v, want all extended", a, err)
		}
	}
	pass := func(what string, d time.Duration) {
		t.Helper()
		begun := time.Now()
		devtest.Until(t, 2*time.Minute, what, func() (bool, error) {
			beat()
			return time.Since(begun) > d, nil
		})
	}
	beat()
	frozen.signal(syscall.SIGSTOP)
	pass("a lease to pass", w.lease+3*time.Second)
	frozen.signal(syscall.SIGCONT)
	pass("it to see that it is late, and to say what it has to say", w.lease/2)
	p.ackMany(t, two, held)
	f := w.verifyPulled(time.Minute, allowance{}, p)
	w.wantNoLosses(f)
	for _, l := range held {
		if j := f.jobs[l.ID]; j.Attempts != 1 {
			t.Errorf("job %d has attempt_count %d, want 1", l.ID, j.Attempts)
		}
	}
}

// A client is silent for longer than its lease: others get its jobs, as after the crash
// of a worker, and what it says then is refused. One that beats keeps its jobs.
func TestPull_ClientVanishes(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	_, base := w.serve()
	gone, beats, others := newPuller(), newPuller(), newPuller()
	w.insert(40, `{}`)
	caught, kept := gone.leaseAll(t, base, 20, "10s"), beats.leaseAll(t, base, 20, "10s")
	ids := make([]int64, len(caught))
	for i, l := range caught {
		ids[i] = l.ID
	}
	var keys []string
	for _, l := range kept {
		keys = append(keys, fmt.Sprintf(`{"lease_id": %q, "lease_token": %q}`, l.LeaseID, l.LeaseToken))
	}
	stop := others.working(t, 2, base)
	devtest.Until(t, patience, "what was leased to run again", func() (bool, error) {
		a, err := beats.ask(t.Context(), base+"/v1/workers/w/heartbeat", `{"leases": [`+strings.Join(keys, ",")+`]}`)
		if err != nil || a.code != http.StatusOK || len(a.Lost)+len(a.Cancelled)+len(a.Elsewhere) > 0 {
			t.Fatalf("heartbeat = %+v, %v", a, err)
		}
		return w.count(`SELECT count(*) FROM outbox.jobs WHERE id = ANY ($1) AND status = 'completed'`, ids) == int64(len(ids)), nil
	})
	for _, l := range caught {
		if a, err := gone.ack(t.Context(), base, l); err != nil || a.code != http.StatusConflict || a.Code != "lease_lost" {
			t.Errorf("late ack = %d %s, %v, want 409 lease_lost", a.code, a.Code, err)
		}
	}
	for _, l := range kept {
		if a, err := beats.ack(t.Context(), base, l); err != nil || a.Status != "completed" {
			t.Errorf("ack after heartbeats = %d %s, %v, want completed", a.code, a.Code, err)
		}
	}
	f := w.verifyPulled(patience, allowance{reruns: len(caught)}, gone, beats, others)
	stop()
	for _, id := range ids {
		if j := f.jobs[id]; j.Losses != 1 || j.Failures != 0 || j.Attempts != 2 {
			t.Errorf("job %d has lost_count %d, failure_count %d, attempt_count %d, want 1, 0, 2", id, j.Losses, j.Failures, j.Attempts)
		}
	}
}

// Redis forgets every lease while clients have some: they do not notice, and nobody is
// blamed.
func TestPull_RedisFlushed(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	_, base := w.serve()
	held, others := newPuller(), newPuller()
	w.insert(30, `{}`)
	caught := held.leaseAll(t, base, 30, "5m")
	w.insert(300, `{}`)
	stop := others.working(t, 3, base)
	devtest.Until(t, patience, "50 acks", func() (bool, error) { return others.count("ok") >= 50, nil })
	w.flush()
	flushed := time.Now()
	w.insert(100, `{}`)
	w.until(patience, "all but what is leased", `SELECT count(*) = $1 FROM outbox.jobs WHERE status <> 'completed'`, len(caught))
	devtest.Until(t, patience, "a lease to pass", func() (bool, error) { return time.Since(flushed) > 2*w.lease, nil })
	for _, l := range caught {
		if a, err := held.ack(t.Context(), base, l); err != nil || a.Status != "completed" {
			t.Errorf("ack after FLUSHALL = %d %s, %v, want completed", a.code, a.Code, err)
		}
	}
	f := w.verifyPulled(patience, allowance{}, held, others)
	stop()
	w.wantNoLosses(f)
}

// Redis is killed while clients have leases, and stays away: they ack and lease on, for
// their server holds what they have in Postgres.
func TestPull_RedisAway(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	_, base := w.serve()
	held, others := newPuller(), newPuller()
	w.insert(30, `{}`)
	caught := held.leaseAll(t, base, 30, "5m")
	if err := w.redis.Signal(kill); err != nil {
		t.Fatal(err)
	}
	held.ackMany(t, base, caught[:10])
	fresh := w.insert(50, `{}`)
	stop := others.working(t, 2, base)
	w.untilStatus(patience, "completed", fresh)
	// Longer than a lease, so that only Postgres can have renewed the others.
	gone := time.Now()
	devtest.Until(t, patience, "a lease to pass", func() (bool, error) { return time.Since(gone) > w.lease+5*time.Second, nil })
	held.ackMany(t, base, caught[10:20])
	if err := w.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.untilStatus(patience, "completed", w.insert(50, `{}`))
	held.ackMany(t, base, caught[20:])
	f := w.verifyPulled(patience, allowance{}, held, others)
	stop()
	w.wantNoLosses(f)
}

// Clients hang up while they wait, at the moment when jobs come: these go to others at
// once, save where the answer was on its way already, which only the lease can tell.
func TestPull_ClientsHangUp(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	server, base := w.serve()
	ghosts, others := newPuller(), newPuller()
	const some = 10
	ended := func(outcome string) float64 {
		return server.served(base, "rookery_pull_leases_ended_total", `outcome="`+outcome+`"`)
	}
	devtest.Until(t, patience, "jobs that nobody has seen", func() (bool, error) {
		ctx, hangUp := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var gone atomic.Int32
		for range some {
			all.Go(func() {
				_, _ = ghosts.lease(ctx, base, 50, "30s", "10s") // who may have more waits for it
				gone.Add(1)
			})
		}
		devtest.Until(t, patience, "all to wait, or to have got what came back", func() (bool, error) {
			return server.served(base, "rookery_pull_waiters", "")+float64(gone.Load()) >= some, nil
		})
		w.insert(some, `{}`)
		time.AfterFunc(time.Duration(rand.IntN(12))*time.Millisecond, hangUp)
		all.Wait()
		hangUp()
		others.drain(t, base)
		return ended("unseen") >= 5, nil
	})
	stop := others.working(t, 2, base)
	f := w.verifyPulled(patience, allowance{reruns: len(w.committed)}, ghosts, others)
	stop()
	losses := 0
	for id, j := range f.jobs {
		if losses += int(j.Losses); j.Failures != 0 {
			t.Errorf("job %d has failure_count %d, want 0", id, j.Failures)
		}
	}
	if expired := ended("expired"); float64(losses) > expired {
		t.Errorf("%d losses, want at most one for each of the %g leases that ran out", losses, expired)
	}
	t.Logf("unseen %g, released %g, expired %g", ended("unseen"), ended("release"), ended("expired"))
}

// More may neither wait nor be leased than the server says; who is told to come later
// gets jobs then.
func TestPull_Caps(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	server, base := w.serve()
	const waiters, leases = 250, 5000
	p := newPuller()
	ctx, hangUp := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range waiters {
		all.Go(func() { _, _ = p.lease(ctx, base, 1, "30s", "10s") })
	}
	devtest.Until(t, patience, "all to wait", func() (bool, error) {
		return server.served(base, "rookery_pull_waiters", "") == waiters, nil
	})
	if a, err := p.lease(t.Context(), base, 1, "1s", "10s"); err != nil || a.code != http.StatusTooManyRequests || a.Code != "too_many_waiters" || a.header.Get("Retry-After") == "" {
		t.Errorf("request %d = %d %s, Retry-After %q, %v, want 429 too_many_waiters", waiters+1, a.code, a.Code, a.header.Get("Retry-After"), err)
	}
	hangUp()
	all.Wait()
	devtest.Until(t, patience, "none to wait", func() (bool, error) {
		return server.served(base, "rookery_pull_waiters", "") == 0, nil
	})

	w.insert(leases+1, `{}`)
	got := p.leaseAll(t, base, leases, "5m")
	if a, err := p.lease(t.Context(), base, 1, "1s", "10s"); err != nil || a.code != http.StatusTooManyRequests || a.Code != "too_many_leases" {
		t.Errorf("lease %d = %d %s, %v, want 429 too_many_leases", leases+1, a.code, a.Code, err)
	}
	for part := range leases / 500 {
		p.ackMany(t, base, got[part*500:][:500])
	}
	last := p.leaseAll(t, base, 1, "10s")
	p.ackMany(t, base, last)
	w.wantNoLosses(w.verifyPulled(patience, allowance{}, p))
}

// A server that is told to end answers those who wait, and takes the acks of those who
// have a lease; what they do not end goes back and costs nothing.
func TestPull_ServerStops(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	server, base := w.serve()
	p, idle, others := newPuller(), newPuller(), newPuller()
	w.insert(20, `{}`)
	acked, left := p.leaseAll(t, base, 10, "5m"), idle.leaseAll(t, base, 10, "5m")
	waited := make(chan answered, 1)
	go func() {
		a, err := p.lease(t.Context(), base, 1, "30s", "10s")
		if err != nil {
			t.Errorf("who waits for a server that ends got %v", err)
		}
		waited <- a
	}()
	devtest.Until(t, patience, "one to wait", func() (bool, error) {
		return server.served(base, "rookery_pull_waiters", "") == 1, nil
	})
	server.signal(syscall.SIGTERM)
	if a := <-waited; a.code != http.StatusOK || len(a.Jobs) != 0 {
		t.Errorf("who waits for a server that ends got %d with %d jobs, want 200 with none", a.code, len(a.Jobs))
	}
	p.ackMany(t, base, acked)
	if code := server.wait(time.Minute); code != 0 {
		t.Errorf("serve ended with %d", code)
	}
	_, base = w.serve()
	stop := others.working(t, 2, base)
	f := w.verifyPulled(patience, allowance{}, p, others) // idle ran nothing
	stop()
	w.wantNoLosses(f)
	for _, l := range left {
		if j := f.jobs[l.ID]; j.Attempts != 2 {
			t.Errorf("job %d has attempt_count %d, want 2", l.ID, j.Attempts)
		}
	}
}
