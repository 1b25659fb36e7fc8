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

	mu        sync.Mutex
	job.Queue           // as Postgres last said
	adopted   time.Time // when the relay learned of this epoch
	window    window    // what Redis has said; of this epoch
	batches   batches   // on their way; of this epoch
	others    int64     // jobs claimed by other relays and perhaps not pushed yet
	claims    claims    // how the next one is made
	rest      rest      // after a refused push or a failed claim
	settling  settling  // when to look for what ended epochs have left behind
}

// claims is how the next claim of a queue is made.
type claims struct {
	limit  int       // smaller when one meets a conflict or an odd value
	cut    time.Time // when the last took all the credit there was; zero: it did not
	skip   skip      // what it need not read
	bypass bypass    // what it does not wait for
}

// pushWithin is how much of Redis' TIME a push has, from what was heard before the claim.
const pushWithin = 10 * time.Second

func newQueue(q job.Queue, now time.Time) *queue {
	return &queue{name: q.Name, Queue: q, adopted: now, batches: newBatches(), claims: claims{limit: job.MaxBatch}, settling: settling{expected: true}}
}

// adoptLocked takes over what Postgres, of the given life, says of the queue to who
// asked at asked. In another epoch nothing that was known of the window holds.
func (q *queue) adoptLocked(fresh job.Queue, life string, asked, now time.Time) {
	if fresh.Epoch < q.Epoch && life == q.Life && !asked.After(q.adopted) {
		return // read before we began the present one; later, the row was put back by hand
	}
	if fresh.Epoch != q.Epoch || fresh.Life != q.Life {
		q.adopted = now
		q.window.forget()
		q.batches = newBatches()
		q.rest.interrupt()
		q.settling.expected = true
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
	w := &q.window
	return belief{
		name: q.Name, epoch: q.Epoch, seq: w.seq, deadline: w.clock + pushWithin.Milliseconds(),
		open: w.open && !w.heard.IsZero(), paused: q.Paused,
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
	if !q.window.fresh(now) {
		return 0, 0
	}
	free := int64(q.WindowSize) - q.window.depth - q.others - q.batches.jobsUnpushed(now)
	reserve := int64(q.WindowSize / 10)
	switch {
	case free <= 0:
		return 0, 0
	case free > reserve:
		return int(min(free-reserve, int64(q.claims.limit))), job.MaxPriority
	default:
		return int(min(free, int64(q.claims.limit))), job.HighMax
	}
}

// fewLocked reports whether credit is too small for a batch yet: a backlog at its window
// would be handed out in dribs, and each costs every other queue a claim's time. The
// window is deep; who takes from it does not notice.
func (q *queue) fewLocked(now time.Time, credit int) bool {
	return now.Sub(q.claims.cut) < depthPoll && credit < min(job.MaxBatch, q.WindowSize/4)
}

// skipNothing makes the next claim read everything, unless that has just been slow.
func (q *queue) skipNothing(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.claims.skip.readAll(now)
}
