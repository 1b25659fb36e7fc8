package relay

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Finished jobs are deleted once they have been kept for long enough. Nothing says
// where they stand: an index by status or time would cost each job more than its
// deletion does. But ids rise with time, so two walks along the primary key find them.
//
//	0 ────────── behind ─────────────── front ───────────────── the youngest job
//	  what stays: dead, not over,        deleted slice by slice   too young to have
//	  or finished late; slowly           as it grows old          been over for long
//
// The front is where jobs are just old enough, and a little more (slack): most were
// finished soon after they were inserted, and go the first time that they are looked
// at. The walk behind it comes round for the others. It is the front's servant: it
// reads what mostly stays, so it has a hundredth of the time, and begins a round once
// in a slack; after rounds that found next to nothing later and later, up to a tenth of the
// shortest retention: where a queue keeps a million jobs for a year, a round an hour
// reads 8,600 of them for each that it deletes. Both places are this relay's memory: after a start the front comes all
// the way again, at half speed. Two relays prune in turn, each along its own front.
//
// A slice spans a number of ids, not of jobs, because the entries of deleted jobs
// stay in the index until a vacuum: one statement that looks for the next thousand
// jobs behind ten million of those takes seconds. While slices are quick and nearly
// empty their span doubles, so a vacuumed gap is crossed in strides of four million.

const (
	pruneEvery  = time.Second
	pruneMost   = 1000                   // slices of one walk in one turn
	pruneBehind = 10 * time.Millisecond  // of each turn, to read what stays
	pruneSpan   = 10 * job.MaxPrune      // ids of a slice, to begin with
	pruneWidest = 1 << 22                // and at most: should all be dead entries, a second
	pruneQuick  = 20 * time.Millisecond  // a slice that takes less may span more ids
	pruneLong   = 100 * time.Millisecond // one that takes more must not
	pruneWorth  = 100                    // jobs read for each that is deleted: a round that takes more has its next one later
	maxSlack    = time.Hour
	maxRound    = 24 * time.Hour
	minRound    = time.Minute
	// MaxRetention is the longest time that finished jobs may be kept, other than for
	// ever.
	MaxRetention = 10 * 365 * 24 * time.Hour
)

// pruning is where retention stands. Only its duty touches it.
type pruning struct {
	front, behind pruneWalk
	round         time.Time     // when the last walk behind the front began
	pause         time.Duration // from then to the next one, at least
	seen, deleted int64         // by this round
	shortest      time.Duration // how long the front's jobs are kept
}

// pruneWalk is a walk along the ids of jobs.
type pruneWalk struct {
	at   int64 // everything up to here has been looked at
	span int64 // ids of the next slice; 0: pruneSpan
}

// retentionOf fills in how long finished jobs are kept.
func retentionOf(o *Options) error {
	for _, r := range []struct {
		name  string
		keep  *time.Duration
		usual time.Duration
	}{
		{"retention", &o.Retention, job.Retention},
		{"retention of dead jobs", &o.RetentionDead, job.RetentionDead},
		{"retention of operations", &o.RetentionOperations, job.RetentionOperations},
	} {
		switch {
		case *r.keep == 0:
			*r.keep = r.usual
		case *r.keep > MaxRetention:
			return fmt.Errorf("relay: %s is %s, must be at most %s, or negative for ever", r.name, *r.keep, MaxRetention)
		}
	}
	return nil
}

// slack is by how much a job is older than its retention when the front looks at it:
// what took longer from insert to finish is left to the walk behind. ok says whether
// anything is ever deleted.
func (r *Relay) slack() (shortest, slack time.Duration, ok bool) {
	shortest = min(r.o.Retention, r.o.RetentionDead)
	if shortest < 0 {
		shortest = max(r.o.Retention, r.o.RetentionDead)
	}
	if own := time.Duration(r.keeps.Load()); own > 0 && (shortest < 0 || own < shortest) {
		shortest = own
	}
	return shortest, min(shortest/10, maxSlack), shortest >= 0
}

// shortestOwn returns the shortest retention that one of the queues has by its own word; 0:
// none has. Its front is everybody's: the jobs of queues that keep theirs longer are left
// to the walk behind.
func shortestOwn(queues []job.Queue) (shortest time.Duration) {
	for _, q := range queues {
		if d, ok := q.Shortest(); ok && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	return shortest
}

// prune deletes what has been finished for long enough, as far as one turn goes.
func (r *Relay) prune(ctx context.Context) error {
	shortest, slack, ok := r.slack()
	if !ok {
		return nil
	}
	p := &r.pruning
	if shortest < p.shortest {
		p.front, p.pause = pruneWalk{}, 0 // behind it there are jobs that have been kept for long enough since now
	}
	p.shortest = shortest
	if got, err := r.pruneBehind(ctx, p, max(slack, min(shortest, minRound)), min(shortest/10, maxRound)); err != nil || !got {
		return err
	}
	for range pruneMost {
		d, _, err := r.pruneSlice(ctx, &p.front, math.MaxInt64, shortest+slack)
		if err != nil || !d.Got || d.Ended {
			return err
		}
	}
	return nil
}

// pruneBehind goes on with the walk behind the front. A slice of which most goes
// costs nothing that is not owed; the others share the turn's part. got is false when
// another relay is pruning.
func (r *Relay) pruneBehind(ctx context.Context, p *pruning, every, most time.Duration) (got bool, err error) {
	p.pause = max(every, min(p.pause, most))
	last := p.round
	switch {
	case p.round.IsZero(): // the front itself comes from 0
		p.round = time.Now()
		return true, nil
	case p.behind.at == 0 && time.Since(p.round) < p.pause:
		return true, nil
	case p.behind.at == 0:
		p.round, p.seen, p.deleted = time.Now(), 0, 0
	}
	var spent time.Duration
	for n := 0; n < pruneMost && spent < pruneBehind; n++ {
		d, took, err := r.pruneSlice(ctx, &p.behind, p.front.at, 0)
		if err != nil || !d.Got {
			if p.behind.at == 0 { // it has not begun: the next turn tries again
				p.round = last
			}
			return false, err
		}
		p.seen, p.deleted = p.seen+d.Seen, p.deleted+d.Deleted
		if d.Ended || p.behind.at >= p.front.at {
			if p.behind = (pruneWalk{}); p.seen > pruneWorth*p.deleted {
				p.pause *= 2
			} else {
				p.pause = every
			}
			return true, nil
		}
		if 2*d.Deleted <= d.Seen {
			spent += took
		}
	}
	return true, nil
}

// pruneSlice takes one step of a walk, and then rests for as long as that took: half
// of one connection is the most that retention ever has.
func (r *Relay) pruneSlice(ctx context.Context, w *pruneWalk, upTo int64, young time.Duration) (job.Pruned, time.Duration, error) {
	w.span = max(w.span, pruneSpan)
	began := time.Now()
	d, err := r.store.Prune(ctx, job.Prune{
		AfterID: w.at, UpToID: min(w.at+w.span, upTo), Keep: r.o.Retention, KeepDead: r.o.RetentionDead, Young: young,
	})
	took := time.Since(began)
	if err != nil {
		w.span = 0
		return d, took, err
	}
	if !d.Got {
		return d, took, nil
	}
	w.at = d.NextID
	switch {
	case d.Seen == job.MaxPrune || took > pruneLong:
		w.span = pruneSpan
	case took < pruneQuick:
		w.span = min(2*w.span, pruneWidest)
	}
	r.metrics.deleted.Add(float64(d.Deleted))
	rest := time.NewTimer(took)
	defer rest.Stop()
	select {
	case <-ctx.Done():
	case <-rest.C:
	}
	return d, took, nil
}
