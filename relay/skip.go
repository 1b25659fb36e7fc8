package relay

import (
	"maps"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// skip remembers, for one queue, what a claim need not read again. What was claimed
// stays in the index until a vacuum: a million such entries make a claim of 500 take
// twice as long, and while somebody holds an old snapshot 100,000 do. So it reads above
// what it took while batches are full, for a tenth of a second at a time, and for
// longer when reading everything has proved slow. It only ever makes a claim look at
// less, and never for longer than until fullAt; what it then finds late (a retry, a
// late committer) would have waited behind the window. A claim that finds nothing
// is made again with everything, but not before four times as long as that took last:
// a queue that is empty but for a million dead entries must not cost a core.
type skip struct {
	taken   map[int16]int64 // highest id taken, by place in outbox.ready
	trail   map[int16]int64 // taken, as it was a rotation ago: late committers above it are still found
	rotated time.Time
	fullAt  time.Time // when the whole queue is read again; zero while nothing is skipped
	emptyAt time.Time // when it is, though earlier, because the parts that are read are empty
}

// What a full read may waste, and how much of the time full reads may take then: a
// twentieth, and a fifth while the parts that are read are empty.
const (
	skipBacklog  = 100 * time.Millisecond // while batches are full
	skipSlow     = time.Second            // after a read that has wasted skipWaste
	skipWaste    = 3 * time.Millisecond
	skipShare    = 20
	skipEmpty    = 4
	skipRotation = 100 * time.Millisecond
)

// spans returns the parts to read up to and including priority hi, the most urgent
// first, and whether that is everything.
func (s *skip) spans(now time.Time, hi int16) (parts []job.Span, full bool) {
	if s.fullAt.IsZero() || !now.Before(s.fullAt) {
		return []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: hi}}, true
	}
	if now.Sub(s.rotated) > skipRotation {
		s.trail, s.rotated = maps.Clone(s.taken), now
	}
	lo := job.Span{LoPriority: job.LostPriority - 1}
	for _, p := range slices.Sorted(maps.Keys(s.trail)) {
		if p > hi {
			break
		}
		// Bounded above by the priority alone: a row comparison there would read on
		// to the end of the priority.
		lo.HiPriority = p - 1
		parts = append(parts, lo)
		lo = job.Span{LoPriority: p, LoID: s.trail[p]}
	}
	lo.HiPriority = hi
	return append(parts, lo), false
}

// readAll makes the next claim read everything, unless it is too early for that.
func (s *skip) readAll(now time.Time) bool {
	if now.Before(s.emptyAt) {
		return false
	}
	s.fullAt = time.Time{}
	return true
}

// took notes what a claim took, whether that was all it might (there is a backlog),
// and how long a read of everything lasted.
func (s *skip) took(now time.Time, full bool, d time.Duration, jobs []job.Envelope, backlog bool) {
	if s.taken == nil {
		s.taken = map[int16]int64{}
	}
	for i := range jobs {
		place := jobs[i].Priority
		s.taken[place] = max(s.taken[place], jobs[i].ID)
	}
	if !full {
		return
	}
	pause := skipSlow
	s.emptyAt = now.Add(skipEmpty * d)
	if d-time.Millisecond-time.Duration(len(jobs))*20*time.Microsecond < skipWaste {
		s.emptyAt = time.Time{}
		if !backlog {
			s.fullAt = time.Time{}
			return
		}
		pause = skipBacklog
	}
	if s.fullAt.IsZero() {
		s.rotated = now // what was taken just now is not a rotation old
	}
	s.fullAt = now.Add(max(pause, skipShare*d))
}
