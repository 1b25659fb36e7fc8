package relay_test

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// fakePast is a table of jobs in memory that knows only how to prune, and what that
// costs. It passes the same suite as the real one.
type fakePast struct {
	relay.Store // nothing else is called
	jobs        []pastJob
	top         int64                                    // the highest id that was given out
	busy        bool                                     // another relay prunes
	fails       error                                    // what every slice is answered; nil: it works
	cost        func(seen, from, to int64) time.Duration // of a slice; nil: nothing
	slices      []job.Prune
	seen        int64
	behind      int64 // deleted by the walk behind
	spent, most time.Duration
	long        int // slices that took more than 200 ms
}

// pastJob is a job as retention sees it; a zero finished means that it never was.
type pastJob struct {
	id                int64
	status            job.Status
	created, finished time.Time
}

func (f *fakePast) Prune(_ context.Context, p job.Prune) (d job.Pruned, _ error) {
	f.slices = append(f.slices, p)
	if f.fails != nil || f.busy {
		return d, f.fails
	}
	d.Got = true
	now := time.Now()
	from, _ := slices.BinarySearchFunc(f.jobs, p.AfterID+1, func(j pastJob, id int64) int { return int(j.id - id) })
	to := from
	var last, old int64
	stay := f.jobs[:from:from]
	if from > 0 {
		stay = f.jobs[:from]
	}
	for ; to < len(f.jobs) && f.jobs[to].id <= p.UpToID && d.Seen < job.MaxPrune; to++ {
		j := f.jobs[to]
		d.Seen++
		last = j.id
		if p.Young == 0 || now.Sub(j.created) >= p.Young {
			old = j.id
		}
		keep := p.Keep
		switch j.status {
		case job.Dead:
			keep = p.KeepDead
		case job.Completed, job.Cancelled:
		case job.Queued, job.Dispatched, job.Running:
			keep = -1
		}
		if keep >= 0 && now.Sub(j.finished) > keep {
			d.Deleted++
		} else {
			stay = append(stay, j)
		}
	}
	if d.Deleted > 0 {
		f.jobs = append(stay, f.jobs[to:]...)
	}
	switch {
	case last > old:
		d.NextID, d.Ended = max(old, p.AfterID), true
	case d.Seen == job.MaxPrune:
		d.NextID = last
	default:
		d.NextID, d.Ended = max(min(p.UpToID, f.top), p.AfterID), p.UpToID >= f.top
	}
	f.seen += d.Seen
	if p.Young == 0 {
		f.behind += d.Deleted
	}
	if f.cost != nil {
		took := f.cost(d.Seen, p.AfterID, d.NextID)
		if took > 200*time.Millisecond {
			f.long++
		}
		f.spent, f.most = f.spent+took, max(f.most, took)
		<-time.After(took) // in a bubble of synctest
	}
	return d, nil
}

// pastKeeper is Postgres as retention needs it.
type pastKeeper interface {
	Prune(ctx context.Context, p job.Prune) (job.Pruned, error)
}

// TestPast_Conformance holds the store and the fake to the same words.
func TestPast_Conformance(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	now := time.Now()
	var jobs []pastJob
	add := func(n int, status job.Status, inserted, finished time.Duration) {
		for range n {
			jobs = append(jobs, pastJob{id: int64(len(jobs) + 1), status: status, created: now.Add(-inserted), finished: now.Add(-finished)})
		}
	}
	add(3, job.Completed, 90*hour, 2*hour)
	add(3, job.Dead, 90*hour, 2*hour)
	add(3, job.Dead, 90*hour, 80*hour)
	add(3, job.Queued, 90*hour, 80*hour)
	add(3, job.Completed, hour/2, hour/4)
	add(1200, job.Cancelled, 90*hour, 2*hour)
	add(30, job.Running, 90*hour, 80*hour)
	add(3, job.Completed, hour/2, hour/4)
	const top = 2000
	steps := []job.Prune{
		{UpToID: 5, Keep: -1, KeepDead: -1},
		{UpToID: 14, Keep: hour, KeepDead: -1, Young: 2 * hour},
		{UpToID: 14, Keep: -1, KeepDead: 24 * hour},
		{UpToID: 14, Keep: hour, KeepDead: 24 * hour, Young: 2 * hour},
		{UpToID: math.MaxInt64, Keep: hour, KeepDead: 24 * hour, Young: 2 * hour},
		{AfterID: 14, UpToID: math.MaxInt64, Keep: hour, KeepDead: 24 * hour, Young: 2 * hour},
		{AfterID: 1014, UpToID: math.MaxInt64, Keep: hour, KeepDead: 24 * hour, Young: 2 * hour},
		{AfterID: 1014, UpToID: math.MaxInt64, Keep: hour, KeepDead: 24 * hour},
		{AfterID: 100, UpToID: 200, Keep: hour, KeepDead: 24 * hour},
		{AfterID: top, UpToID: math.MaxInt64, Keep: hour, KeepDead: 24 * hour, Young: hour},
	}
	h := newHouse(t)
	for _, j := range jobs {
		h.exec(t, `INSERT INTO outbox.jobs (status, run_at, created_at, finished_at) VALUES ($1, 'tomorrow', $2, $3)`, j.status, j.created, j.finished)
	}
	h.exec(t, "SELECT setval('outbox.jobs_id_seq', $1)", top)
	f := &fakePast{jobs: slices.Clone(jobs), top: top}
	for i, step := range steps {
		var got []job.Pruned
		for _, k := range []pastKeeper{h.store, f} {
			d, err := k.Prune(t.Context(), step)
			if err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			got = append(got, d)
		}
		if diff := cmp.Diff(got[0], got[1]); diff != "" {
			t.Errorf("step %d (-store +fake):\n%s", i, diff)
		}
		if left := h.count(t, "SELECT count(*) FROM outbox.jobs"); left != int64(len(f.jobs)) {
			t.Errorf("step %d leaves %d jobs in the store and %d in the fake", i, left, len(f.jobs))
		}
	}
	if len(f.jobs) != 3+3+3+30+3 {
		t.Errorf("%d jobs are left, want 42", len(f.jobs))
	}
}
