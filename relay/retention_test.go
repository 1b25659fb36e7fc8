package relay_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

const day = 24 * time.Hour

// perJob and perID are what a slice costs for each job that it reads, and for each
// entry in the index of a job that has gone: about what was measured.
const (
	perJob = 3 * time.Microsecond
	perID  = 300 * time.Nanosecond
)

// pruner is a relay that does nothing but prune.
func pruner(t *testing.T, f *fakePast, o relay.Options) *relay.Relay {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	if f.cost == nil {
		f.cost = func(seen, _, _ int64) time.Duration { return time.Duration(seen) * perJob }
	}
	r, err := relay.New(f, newFakeWindow(), deaf{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// turn does one turn, and waits for the next second.
func turn(t *testing.T, r *relay.Relay) {
	t.Helper()
	began := time.Now()
	if err := r.Prune(t.Context()); err != nil {
		t.Fatalf("prune: %v", err)
	}
	<-time.After(time.Second - min(time.Since(began), time.Second)) // in a bubble
}

// add makes n jobs with the next ids.
func (f *fakePast) add(n int, status job.Status, inserted, finished time.Duration) {
	for range n {
		f.top++
		f.jobs = append(f.jobs, pastJob{id: f.top, status: status, created: time.Now().Add(-inserted), finished: time.Now().Add(-finished)})
	}
}

func (f *fakePast) count(status job.Status) (n int) {
	for _, j := range f.jobs {
		if j.status == status {
			n++
		}
	}
	return n
}

// A million jobs stay, and are not read every second. What was finished late goes all
// the same.
func TestPrune_ReadsWhatStaysSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakePast{}
		f.add(500_000, job.Dead, 20*day, 20*day)
		f.add(100, job.Completed, 20*day, 7*day-time.Minute) // two weeks in the queue
		f.add(500_000, job.Queued, 20*day, 0)
		f.add(5000, job.Completed, 20*day, 20*day)
		f.add(5000, job.Completed, time.Hour, time.Hour)
		r := pruner(t, f, relay.Options{})
		turn(t, r)
		turn(t, r)
		if n := f.count(job.Completed); n != 5100 {
			t.Fatalf("%d completed jobs after the front has passed, want 5,100", n)
		}
		f.seen, f.spent = 0, 0
		for range 600 {
			turn(t, r)
		}
		// The slice at the front, whose jobs are all young, and nothing else.
		if f.seen > 600*job.MaxPrune {
			t.Errorf("ten minutes read %d jobs", f.seen)
		}
		f.seen, f.spent = 0, 0
		var most time.Duration // of a turn
		for range 2 * 3600 {
			before := f.spent
			turn(t, r)
			most = max(most, f.spent-before)
		}
		if n := f.count(job.Completed); n != 5000 {
			t.Errorf("%d completed jobs two hours later, want 5,000", n)
		}
		if f.spent > 2*time.Hour/50 || most > 20*time.Millisecond {
			t.Errorf("two hours have spent %s on pruning where little goes, one second %s", f.spent, most)
		}
		if n := f.count(job.Dead) + f.count(job.Queued); n != 1_000_000 {
			t.Errorf("%d jobs stay, want a million", n)
		}
	})
}

// Jobs are finished as fast as pruning them costs a tenth of the time, most at once,
// some later: the table does not grow, and pruning has little more than that.
func TestPrune_KeepsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const each = 2000
		f := &fakePast{cost: func(seen, _, _ int64) time.Duration { return time.Duration(seen) * (100 * time.Millisecond / each) }}
		r := pruner(t, f, relay.Options{Retention: time.Minute})
		for second := range 240 {
			f.add(each-10, job.Completed, 0, -3*time.Second)
			f.add(10, job.Completed, 0, -30*time.Second)
			turn(t, r)
			if second == 120 {
				f.spent = 0
			}
		}
		// 66 s at the front, and those that finished later: a round of a minute.
		if n := len(f.jobs); n > 70*each {
			t.Errorf("%d jobs after four minutes of %d/s with a retention of a minute", n, each)
		}
		if f.spent > 120*time.Second/5 {
			t.Errorf("two minutes have spent %s on pruning", f.spent)
		}
		if f.behind > 240*10 {
			t.Errorf("the walk behind deleted %d jobs, want only those that finished late", f.behind)
		}
		for range 240 {
			turn(t, r)
		}
		if n := len(f.jobs); n != 0 {
			t.Errorf("%d jobs are left four minutes after the last", n)
		}
	})
}

// A backlog of old jobs goes slice by slice, with a rest as long as the slice.
func TestPrune_Rests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakePast{}
		f.add(50_000, job.Completed, 20*day, 20*day)
		r := pruner(t, f, relay.Options{})
		began := time.Now()
		if err := r.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); len(f.jobs) != 0 || f.spent == 0 || took < 2*f.spent || took > 3*f.spent {
			t.Errorf("%d jobs left, %s of %s spent on slices, want half", len(f.jobs), f.spent, took)
		}
	})
}

// Ids without jobs: a gap that a vacuum has cleared is crossed at once, and one full
// of dead entries in statements that stay short.
func TestPrune_Gaps(t *testing.T) {
	t.Parallel()
	const gap = 100_000_000
	for _, c := range []struct {
		name            string
		dirty           [2]int64 // the ids whose dead entries are still there
		slices, longest int
	}{
		{"vacuumed", [2]int64{0, 0}, 50, 0},
		{"not vacuumed", [2]int64{0, gap}, 2000, 0},
		{"half vacuumed", [2]int64{gap / 2, gap}, 1000, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fakePast{}
				f.cost = func(seen, from, to int64) time.Duration {
					dead := max(min(to, c.dirty[1])-max(from, c.dirty[0]), 0)
					return 200*time.Microsecond + time.Duration(seen)*perJob + time.Duration(dead)*perID
				}
				f.add(10, job.Dead, 20*day, 20*day)
				f.top += gap
				f.add(10, job.Completed, 20*day, 20*day)
				f.top += 1000
				f.add(10, job.Completed, time.Hour, time.Hour)
				r := pruner(t, f, relay.Options{})
				for n := 0; n < 10 && f.count(job.Completed) > 10; n++ {
					turn(t, r)
				}
				if n := f.count(job.Completed); n != 10 || len(f.slices) > c.slices {
					t.Errorf("%d completed jobs after %d slices, want 10 after at most %d", n, len(f.slices), c.slices)
				}
				if f.long > c.longest || f.most > 2*time.Second {
					t.Errorf("%d slices were long, the longest %s, want at most %d", f.long, f.most, c.longest)
				}
				f.slices, f.spent = nil, 0
				for range 3600 {
					turn(t, r)
				}
				if f.spent > time.Hour/50 {
					t.Errorf("an hour in which nothing happened has spent %s in %d slices", f.spent, len(f.slices))
				}
			})
		})
	}
}

// For ever means that nothing is asked; and a relay that finds another one pruning,
// or Postgres away, lets it be for this turn and keeps its place.
func TestPrune_StaysAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakePast{}
		f.add(100_000, job.Completed, 9*365*day, 9*365*day)
		f.add(10, job.Dead, 9*365*day, 9*365*day)
		r := pruner(t, f, relay.Options{Retention: -1, RetentionDead: -1})
		turn(t, r)
		if len(f.slices) != 0 {
			t.Errorf("retention for ever sends %d statements", len(f.slices))
		}
		r = pruner(t, f, relay.Options{Retention: -1})
		turn(t, r)
		if f.count(job.Dead) != 0 || f.count(job.Completed) != 100_000 {
			t.Errorf("%d dead, %d completed jobs, want only dead ones to go", f.count(job.Dead), f.count(job.Completed))
		}
		f.add(10_000, job.Completed, 8*day, 8*day)
		f.slices, f.busy = nil, true
		turn(t, r)
		f.busy, f.fails = false, errors.New("away")
		if err := r.Prune(t.Context()); !errors.Is(err, f.fails) {
			t.Errorf("prune without Postgres = %v", err)
		}
		if len(f.slices) != 2 || f.slices[0].AfterID != 100_010 || f.slices[1].AfterID != 100_010 {
			t.Errorf("slices = %+v, want one a turn, from 100,010 on", f.slices)
		}
	})
}

func TestOptions_Retention(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    relay.Options
		want string
	}{
		{relay.Options{Retention: relay.MaxRetention, RetentionDead: relay.MaxRetention}, ""},
		{relay.Options{Retention: 1, RetentionDead: -1}, ""},
		{relay.Options{Retention: relay.MaxRetention + 1}, "relay: retention is "},
		{relay.Options{RetentionDead: relay.MaxRetention + 1}, "relay: retention of dead jobs is "},
	} {
		_, err := relay.New(&fakePast{}, newFakeWindow(), deaf{}, c.o)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("New(%+v) = %v, want %q", c.o, err, c.want)
		}
	}
}

// Two relays with real servers: what is over goes, with its history, and the rest
// stays; dead jobs stay longer.
func TestPrune_OnTheHouse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	one, two := prometheus.NewRegistry(), prometheus.NewRegistry()
	h.start(t, wiring{Options: relay.Options{Retention: time.Second, Registerer: one}})
	h.start(t, wiring{Options: relay.Options{Retention: time.Second, Registerer: two}})
	h.insert(t, "q", 200)
	jobs := h.take(t, "q", 200)
	h.complete(t, jobs[:150])
	var ends []job.Outcome
	for _, e := range jobs[150:160] {
		ends = append(ends, job.Outcome{Ref: e.Ref(), Kind: job.Discarded})
	}
	if _, err := h.store.Reconcile(t.Context(), "w", ends); err != nil {
		t.Fatal(err)
	}
	h.exec(t, `SELECT outbox.cancel($1)`, jobs[160].ID)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, run_at) VALUES ('q', now() + interval '1 day')`)
	h.await(t, 0, "finished jobs to go", `SELECT count(*) FROM outbox.jobs WHERE status IN ('completed', 'cancelled')`)
	for sql, want := range map[string]int64{
		`SELECT count(*) FROM outbox.jobs WHERE status = 'dead'`:                    10,
		`SELECT count(*) FROM outbox.dead_letters`:                                  10,
		`SELECT count(*) FROM outbox.attempts`:                                      10,
		`SELECT count(*) FROM outbox.jobs WHERE status IN ('dispatched', 'queued')`: 40,
	} {
		if got := h.count(t, sql); got != want {
			t.Errorf("%s = %d, want %d", sql, got, want)
		}
	}
	const name = "rookery_relay_deleted_jobs_total"
	devtest.Until(t, patience, name+" of both to be 151", func() (bool, error) {
		return total(t, one, name)+total(t, two, name) == 151, nil
	})
}

// A queue that keeps its jobs for less than the relays say brings the front forward, and
// back to the beginning; one that keeps them for longer does not.
func TestPrune_FrontOfTheShortestRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakePast{}
		f.add(3000, job.Completed, day, day)
		r := pruner(t, f, relay.Options{})
		young := func() time.Duration {
			f.slices = nil
			turn(t, r)
			return f.slices[len(f.slices)-1].Young
		}
		usual := young()
		hours := int64(3600)
		long, forever := int64(90*24*3600), int64(0)
		r.Own([]job.Queue{{KeepFor: job.KeepFor{Retention: &long, RetentionDead: &forever}}, {}})
		if got := young(); got != usual {
			t.Errorf("with a longer retention the front is at %s, want %s", got, usual)
		}
		r.Own([]job.Queue{{}, {KeepFor: job.KeepFor{RetentionDead: &hours}}})
		if got := young(); got != time.Hour+6*time.Minute || f.slices[len(f.slices)-1].AfterID > 3000 {
			t.Errorf("with an hour the front is at %s, want 66m", got)
		}
		if first := f.slices[0]; first.AfterID != 0 {
			t.Errorf("the front goes on at %d, want it to begin anew", first.AfterID)
		}
	})
}

// What a queue keeps for long is not read over and over for the few that fall due: rounds
// behind the front begin later when they find next to nothing, and soon again when they do.
func TestPrune_RoundsThatFindLittleBeginLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kept, year = 100_000, 365 * day
		f := &fakePast{}
		for i := range kept {
			age := year - time.Duration(i)*((year-8*day)/kept)
			f.add(1, job.Dead, age, age)
		}
		r := pruner(t, f, relay.Options{Retention: 7 * day, RetentionDead: year})
		pass := func(d time.Duration) (seen, deleted int64) {
			seen, deleted = f.seen, f.behind
			for end := time.Now().Add(d); time.Now().Before(end); f.slices = f.slices[:0] {
				turn(t, r)
			}
			return f.seen - seen, f.behind - deleted
		}
		pass(3 * day) // the front's first way, and pauses that grow
		seen, deleted := pass(4 * day)
		// A tenth of seven days is 16.8 h: some six rounds, of what an hourly walk would read 96 times.
		if deleted == 0 || seen > 8*kept {
			t.Errorf("in four days %d jobs were read and %d deleted, want at most %d read", seen, deleted, 8*kept)
		}
		for i := range f.jobs[:5000] {
			f.jobs[i].finished = time.Now().Add(-year)
		}
		if _, deleted := pass(17 * time.Hour); deleted < 5000 {
			t.Errorf("%d of 5000 that fell due at once are gone after the next round", deleted)
		}
		if seen, _ := pass(2 * time.Hour); seen < kept/2 {
			t.Errorf("after a round that found much %d were read in two hours, want the next round", seen)
		}
	})
}

// A round that another relay's pruning kept from beginning begins with the next turn, not
// a whole pause later.
func TestPrune_RoundThatCouldNotBeginIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakePast{}
		f.add(100, job.Dead, 20*day, 20*day)
		r := pruner(t, f, relay.Options{Retention: 7 * day, RetentionDead: 90 * day})
		turn(t, r)
		<-time.After(2 * day) // longer than any pause
		f.busy = true
		turn(t, r)
		f.busy, f.slices = false, nil
		turn(t, r)
		if len(f.slices) == 0 || f.slices[0].AfterID != 0 || f.slices[0].Young != 0 {
			t.Errorf("the turn after it asked for %+v, want the round to begin", f.slices)
		}
	})
}
