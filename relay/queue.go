package relay

import (
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// queue is what a relay believes of one queue. Every belief is checked by whoever
// acts on it: statements compare the epoch, scripts the epoch and the life.
type queue struct {
	name string // never changes; read without mu

	mu sync.Mutex
	job.Queue
	open        bool      // this epoch has been seen open in Redis
	adopted     time.Time // when the relay learned of this epoch
	seq         int64     // highest number of accepted batches seen in this epoch
	depth       int64     // undelivered jobs, as Redis last said
	clock       int64     // Redis' TIME in ms, in its last answer
	heard       time.Time // when that came; zero: never in this epoch
	others      int64     // jobs claimed by other relays and perhaps not pushed yet
	unpushed    map[int64]unpushed
	pushed      []job.Recorded // accepted by Redis, not yet recorded in the ledger
	pushedAt    time.Time      // when the first of them was accepted
	old         []oldBatch     // recorded; Redis may forget them a minute later
	mark        mark           // for notes of batches that other relays have left behind
	contact     contact
	silent      bool // no answer to the last call: tend alone asks again, and holds up nobody
	skip        skip
	bypass      bypass
	limit       int       // of a claim: smaller when one meets a conflict or an odd value
	cut         time.Time // when the last claim took all the credit there was; zero: it did not
	rest        time.Time // no claims before: Redis refused a push
	restFor     time.Duration
	fullAt      time.Time // since when Redis has been refusing pushes for lack of memory
	settle      bool      // ended epochs may have left something behind
	settleAt    time.Time // when to look for it again all the same
	settledAway int64     // the epoch that was settled without Redis
}

// unpushed is a batch of ours that Redis has not accepted.
type unpushed struct {
	jobs int
	at   time.Time
}

type oldBatch struct {
	id int64
	at time.Time
}

// The bounds of a relay's beliefs.
const (
	depthAge    = time.Second            // a depth older than this gives no credit
	pushWithin  = 10 * time.Second       // of Redis' TIME as read before the claim
	recordAfter = 50 * time.Millisecond  // how long D3 may wait for the next D1
	forgetAfter = time.Minute            // by then every push of the batch is late
	restFirst   = 100 * time.Millisecond // after a refused push
	restMost    = time.Second
	fullMost    = 20 * time.Second // then a new epoch empties the window
	unpushedAge = 10 * time.Second // by then a batch was taken over: by us, who note it anew, or by one of the others
)

func newQueue(q job.Queue, now time.Time) *queue {
	return &queue{name: q.Name, Queue: q, adopted: now, unpushed: map[int64]unpushed{}, limit: job.MaxBatch, settle: true}
}

// adoptLocked takes over what Postgres, of the given life, says of the queue to who
// asked at asked. In another epoch nothing that was known of the window holds.
func (q *queue) adoptLocked(fresh job.Queue, life string, asked, now time.Time) {
	if fresh.Epoch < q.Epoch && life == q.Life && !asked.After(q.adopted) {
		return // read before we began the present one; later, the row was put back by hand
	}
	if fresh.Epoch != q.Epoch || fresh.Life != q.Life {
		q.open, q.adopted, q.seq, q.heard, q.depth = false, now, 0, time.Time{}, 0
		q.unpushed, q.pushed, q.old = map[int64]unpushed{}, nil, nil
		q.mark = mark{}
		q.contact, q.settle = contact{}, true
		q.rest, q.fullAt = time.Time{}, time.Time{}
	}
	q.Queue = fresh
}

// belief is a copy of what a claim, a script or a push needs.
type belief struct {
	name     string
	epoch    int64
	seq      int64
	deadline int64 // for a push of what is claimed after this copy was made
	open     bool
	paused   bool
}

func (q *queue) believeLocked() belief {
	return belief{
		name: q.Name, epoch: q.Epoch, seq: q.seq, deadline: q.clock + pushWithin.Milliseconds(),
		open: q.open && !q.heard.IsZero(), paused: q.Paused,
	}
}

func (q *queue) believe() belief {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.believeLocked()
}

// creditLocked says how many jobs may be claimed, and down to which priority: the
// last tenth of the window is kept for the high band and for jobs that were lost.
func (q *queue) creditLocked(now time.Time) (limit int, hi int16) {
	if q.heard.IsZero() || now.Sub(q.heard) > depthAge {
		return 0, 0
	}
	free := int64(q.WindowSize) - q.depth - q.others
	for id, u := range q.unpushed {
		if now.Sub(u.at) > unpushedAge {
			delete(q.unpushed, id)
			continue
		}
		free -= int64(u.jobs)
	}
	reserve := int64(q.WindowSize / 10)
	switch {
	case free <= 0:
		return 0, 0
	case free > reserve:
		return int(min(free-reserve, int64(q.limit))), job.MaxPriority
	default:
		return int(min(free, int64(q.limit))), job.HighMax
	}
}

// fewLocked reports whether credit is too small for a batch yet: a backlog at its window
// would be handed out in dribs, and each costs every other queue a claim's time. The
// window is deep; who takes from it does not notice.
func (q *queue) fewLocked(now time.Time, credit int) bool {
	return now.Sub(q.cut) < depthPoll && credit < min(job.MaxBatch, q.WindowSize/4)
}

// heardLocked takes over an answer of Redis to a call that was sent at sent.
func (q *queue) heardLocked(sent, now time.Time, seq, depth, clock int64) {
	q.open, q.silent, q.clock = true, false, clock
	if seq >= q.seq || q.heard.IsZero() { // else its depth is older than what another call has brought
		q.seq, q.depth, q.heard = max(q.seq, seq), depth, now
	}
	q.contact.heard(sent, now, clock)
}

// reachableLocked reports whether the queue's window is open, as far as we know, and
// its Redis has answered the last call.
func (q *queue) reachableLocked() bool { return q.open && !q.silent }

// restLocked keeps a queue whose Redis refuses from being tried at every look, and
// from holding up the others.
func (q *queue) restLocked(now time.Time) {
	q.restFor = min(max(2*q.restFor, restFirst), restMost)
	q.rest = now.Add(q.restFor)
}

// forgettableLocked names up to a batch of ledger rows that Redis may forget.
func (q *queue) forgettableLocked(now time.Time) []int64 {
	var ids []int64
	for _, b := range q.old {
		if now.Sub(b.at) < forgetAfter || len(ids) == job.MaxBatch {
			break
		}
		ids = append(ids, b.id)
	}
	return ids
}

// forgotLocked notes that Redis has forgotten ids. Another call, under way at the
// same time, may have named and forgotten some of them too.
func (q *queue) forgotLocked(ids []int64) {
	for _, id := range ids {
		if len(q.old) > 0 && q.old[0].id == id {
			q.old = q.old[1:]
		}
	}
}

// skipNothing makes the next claim read everything, unless that has just been slow.
func (q *queue) skipNothing(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.skip.readAll(now)
}

func (q *queue) unpushedLocked(id int64, jobs int, now time.Time) {
	q.unpushed[id] = unpushed{jobs: jobs, at: now}
}

// contact measures how long Redis has been answering promptly, and its clock going
// steadily. Only after one lease of that may a lease be called ended: a Redis that
// stood still, or whose clock was set, would otherwise cost every live worker its
// attempts.
type contact struct {
	since  time.Time
	last   time.Time
	offset time.Duration // Redis' clock minus ours
}

const (
	contactReply = 2 * time.Second // a later reply breaks the contact
	contactGap   = 5 * time.Second // so does not asking for so long
	contactJump  = time.Second
)

// clockBase makes Redis' wall clock comparable with our monotonic one. It is only
// ever used in differences.
var clockBase = time.Now()

func (c *contact) heard(sent, now time.Time, clock int64) {
	offset := time.Duration(clock)*time.Millisecond - now.Sub(clockBase)
	jump := (offset - c.offset).Abs()
	if c.since.IsZero() || now.Sub(sent) > contactReply || now.Sub(c.last) > contactGap || jump > contactJump {
		c.since = now
	}
	c.last, c.offset = now, offset
}

func (c *contact) broken() { c.since = time.Time{} }

// unbroken reports whether there has been contact for d.
func (c *contact) unbroken(now time.Time, d time.Duration) bool {
	return !c.since.IsZero() && now.Sub(c.last) <= contactGap && now.Sub(c.since) >= d
}
