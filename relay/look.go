package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// look is what the dispatch loop remembers from one look around to the next.
type look struct {
	active    []string               // queues that had due jobs
	fresh     time.Time              // until then, while hot, they are taken to have some again
	usual     []string               // the queues that had due jobs at the last wakes
	wakes     int                    // in a row that were theirs
	slow      int                    // surveys in a row that were slow
	slowUntil time.Time              // surveys are slow (an old snapshot is open): none before
	promoted  time.Time              // below this run_at only dead entries lie; used while surveys are slow
	late      map[string]chan handed // dispatches that no look has waited for, by queue
	full      map[string]bool        // queues whose last batch was full
	out       sync.WaitGroup         // all dispatches under way
}

const (
	promoteMost  = 5                    // promotions of one look around, of a thousand jobs each
	slowSurveys  = 3                    // in a row before they are spared
	hotSurveys   = 4 * time.Millisecond // between two, while hot
	sparedQueues = 3                    // with more, to ask all is cheaper than to claim from each
	sureWakes    = 3                    // in a row for the same queues, and the next is taken to be for them
)

// pass looks around once: it promotes what has fallen due, and hands every queue
// that has due jobs one batch. After a wake it first tries the queues that the last
// wakes were for: that saves their jobs the time of a survey.
func (r *Relay) pass(ctx context.Context, hot, woken bool) (find, error) {
	var early find
	var guessed error
	if woken && r.look.wakes >= sureWakes {
		early, guessed = r.handOut(ctx, r.look.usual)
	}
	s, err := r.survey(ctx, hot)
	if err != nil {
		early.nextIn = job.Never
		return early, errors.Join(guessed, err)
	}
	if woken {
		r.look.learn(s.Queues, early.jobs > 0)
	}
	f, err := r.handOut(ctx, s.Queues)
	f.nextIn = max(s.NextIn, time.Millisecond)
	_ = f.add(handed{jobs: early.jobs, full: early.full, blocked: early.blocked})
	return f, errors.Join(guessed, err)
}

// learn notes which queues a wake was for: found has those that had due jobs, beside the
// usual ones when guessed says that these were tried first and had some.
func (l *look) learn(found []string, guessed bool) {
	switch {
	case len(found) == 0 && guessed, len(found) > 0 && slices.Equal(found, l.usual):
		l.wakes++
	case len(found) > 0:
		l.usual, l.wakes = found, 0
		if len(found) > sparedQueues {
			l.usual = nil
		}
	}
}

// survey asks where there is work. While hot it takes the last answer for a few
// milliseconds: producers are mute, and a claim that finds nothing costs what asking does.
func (r *Relay) survey(ctx context.Context, hot bool) (job.Survey, error) {
	now := time.Now()
	if n := len(r.look.active); hot && n > 0 && n <= sparedQueues && now.Before(r.look.fresh) {
		return job.Survey{Queues: r.look.active, NextIn: r.look.fresh.Sub(now)}, nil
	}
	if len(r.look.active) > 0 && now.Before(r.look.slowUntil) {
		return job.Survey{Queues: r.look.active, NextIn: r.look.slowUntil.Sub(now)}, nil
	}
	skipped := r.skipped()
	s, err := r.store.Survey(ctx, r.look.from(), skipped)
	if err != nil {
		return s, err
	}
	took := time.Since(now)
	// Only so many at a time: a million jobs that fall due together must not keep
	// urgent ones waiting.
	for range promoteMost {
		if s.NextIn > 0 {
			break
		}
		n, first, err := r.store.Promote(ctx, r.look.from())
		if err != nil {
			return s, err
		}
		if n == 0 {
			s.NextIn = time.Millisecond // another relay is at it, or the clock rounds
			break
		}
		r.metrics.promoted.Add(float64(n))
		r.o.Failpoint("relay.after_promote")
		r.look.promoted = first
		if s, err = r.store.Survey(ctx, r.look.from(), skipped); err != nil {
			return s, err
		}
	}
	// One slow survey is a busy machine; several in a row are an old snapshot.
	if r.look.slow++; took <= 2*skipWaste || len(s.Queues) >= 100 {
		r.look.slow = 0
	}
	if r.look.slow >= slowSurveys {
		r.look.slowUntil = now.Add(min(skipShare*took, time.Second))
	} else {
		r.look.promoted = time.Time{}
	}
	s.Queues = append(s.Queues, skipped...)
	slices.Sort(s.Queues)
	r.look.active, r.look.fresh = s.Queues, now.Add(min(hotSurveys, s.NextIn))
	return s, nil
}

// skipped names the queues whose claims skip entries: they are claimed from at every look,
// without being asked whether they have anything. To find out would mean to read what
// the claims skip.
func (r *Relay) skipped() (names []string) {
	for _, q := range r.all() {
		q.mu.Lock()
		if !q.claims.skip.fullAt.IsZero() {
			names = append(names, q.name)
		}
		q.mu.Unlock()
	}
	return names
}

// from is where reading scheduled jobs begins.
func (l *look) from() time.Time {
	if l.slowUntil.IsZero() || time.Since(l.slowUntil) > time.Second {
		return time.Time{}
	}
	return l.promoted
}
