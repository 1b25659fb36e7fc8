package relay

import (
	"cmp"
	"time"
)

// The rhythm of a relay. Going hot after every single find spoils sparse traffic
// (p95 0.6 → 32 ms, measured); without the horizon up to 18 % of slow producers'
// jobs wait for the poll. Dense is 500 jobs a second: docs/adr/0004.
const (
	denseJobs    = 25
	denseWithin  = 50 * time.Millisecond
	hottest      = time.Millisecond
	coolest      = 8 * time.Millisecond
	blockedMost  = 4 * time.Millisecond  // while a backlog keeps the gate closed: other queues' producers are mute too
	horizonEvery = 16 * time.Millisecond // while a producer that saw the gate closed may be open
	horizonSlow  = 64 * time.Millisecond // the same, when one stays open for long
	horizonLong  = 30 * time.Second
	safetyPoll   = time.Second
	depthPoll    = 20 * time.Millisecond // how often Redis is asked about a queue at its window, while it has a backlog
)

// mood is how awake a relay is.
type mood int

const (
	asleep mood = iota // waits for its source; producers notify
	hot                // polls; the gate is closed, producers are mute
	drowsy             // polls; the gate is open, but somebody may still have seen it closed
)

// pace decides when a relay looks again. It is pure: no clock of its own, no I/O.
type pace struct {
	mood   mood
	since  time.Time     // when the present count began
	jobs   int           // dispatched since
	step   time.Duration // the last hot pause
	poll   time.Duration // while asleep; 0 means safetyPoll
	drowse time.Time     // since when drowsy
}

// find is what one look around found.
type find struct {
	jobs    int           // dispatched
	full    bool          // at least one batch was full: there is more
	blocked bool          // a queue with a backlog is at its window
	busy    bool          // a batch is on its way that the look did not wait for
	nextIn  time.Duration // until the next scheduled job is due
}

// next says how long to wait after f, and whether the gate should be closed or
// opened before. While asleep, a wake ends the wait.
func (p *pace) next(now time.Time, f find) (wait time.Duration, closeGate, openGate bool) {
	dense := p.found(now, f.jobs) && f.jobs > 0
	switch p.mood {
	case asleep, drowsy:
		if dense || f.full {
			p.mood, p.step, closeGate = hot, hottest, true
		}
	case hot:
		switch p.step *= 2; {
		case f.jobs > 0:
			p.step = hottest
		case f.blocked, f.busy: // a batch that is late and brings jobs ends the wait
			p.step = min(p.step, blockedMost)
		case p.step > coolest:
			p.mood, p.drowse, openGate = drowsy, now, true
		}
	}
	switch p.mood {
	case asleep:
		wait = cmp.Or(p.poll, safetyPoll)
	case drowsy:
		wait = horizonEvery
		if now.Sub(p.drowse) > horizonLong {
			wait = horizonSlow
		}
	case hot:
		wait = p.step
		if f.full {
			wait = 0
		}
	}
	if f.blocked || f.busy {
		wait = max(min(wait, depthPoll), hottest)
	}
	return max(min(wait, f.nextIn), 0), closeGate, openGate
}

// found counts what was dispatched, and reports whether it comes densely.
func (p *pace) found(now time.Time, jobs int) bool {
	if now.Sub(p.since) > denseWithin {
		p.since, p.jobs = now, 0
	}
	p.jobs += jobs
	return p.jobs >= denseJobs
}

// sleep says that nobody who saw the gate closed is open any more.
func (p *pace) sleep() {
	if p.mood == drowsy {
		p.mood = asleep
	}
}
