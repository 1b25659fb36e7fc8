package workers

import (
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// queue is one queue as this worker knows it. Its epoch goes
//
//	refused (STALE) or truth raised ──▶ announced ──▶ joined ──▶ takes again
//
// and a take and a join exclude each other (taking): what a take brings is either
// held before the join lists what is held, or leased in the new epoch.
type queue struct {
	name   string
	weight int
	taking sync.Mutex

	// Of the fetch loop alone: the take that has no answer yet.
	token      string
	tokenEpoch int64 // in which the token was first sent
	retry      retry
	again      time.Time // not before; zero: at once

	mu      sync.Mutex
	truth   int64 // the highest epoch anybody told of: Postgres, or a Redis that is ahead of it
	epoch   int64 // in which what is held is leased: beats and acks name it
	joined  int64 // in which all that is held was announced and verified
	refused bool  // Redis answered STALE since
	redis   int64 // the epoch it named
	asked   retry // how often in a row; paces the questions for a new epoch
}

func newQueue(q QueueWeight) *queue {
	return &queue{
		name: q.Name, weight: q.Weight,
		retry: retry{first: 10 * time.Millisecond, most: time.Second},
		asked: retry{first: 50 * time.Millisecond, most: time.Second},
	}
}

// open returns the epoch to take in, and whether taking is allowed. In epoch 0,
// not known yet, it is: Redis answers with the one it holds.
func (q *queue) open() (epoch int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.epoch, q.joined == q.truth && !q.refused
}

// leased returns the epoch in which what is held is leased, and whether beats may
// be sent in it.
func (q *queue) leased() (epoch int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.epoch, !q.refused
}

// learn hears of Postgres' epoch; it reports whether it is news. A lower one than the
// known is an old answer, unless Redis holds that very one too: then both were put
// back to an old copy, or made anew, and what was known of higher ones is history.
func (q *queue) learn(epoch int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	restored := epoch > 0 && epoch < q.truth && q.refused && epoch == q.redis
	if epoch <= q.truth && !restored {
		return false
	}
	q.truth = epoch
	return true
}

// refuse notes that Redis answered STALE to a call of epoch used, and reports
// whether that is news. An answer to a call of an epoch that is history says nothing;
// one to an announce of the next epoch, that it is not open yet: until it is, the
// leases in the present one are renewed as ever.
func (q *queue) refuse(used int64, stale *job.StaleError) (news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if used != q.epoch {
		q.truth = max(q.truth, stale.Epoch)
		return false
	}
	news = !q.refused && q.epoch > 0 && q.asked.failures == 0
	q.refused, q.redis = true, stale.Epoch
	q.truth = max(q.truth, stale.Epoch)
	return news
}

// accepted notes that Redis did what it was asked in epoch used.
func (q *queue) accepted(used int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if used == q.epoch {
		q.asked.reset()
	}
}

// wanted returns the epoch to join, and whether there is one.
func (q *queue) wanted() (epoch int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.truth, q.joined != q.truth || q.refused
}

// patience returns how long to wait before asking again for the epoch to join,
// growing from 50 ms to 1 s; ok is false when nothing is waited for.
func (q *queue) patience() (d time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.joined == q.truth && !q.refused {
		return 0, false
	}
	return q.asked.next(), true
}

// announced: everything held is leased in epoch, so beats go on in it although
// Postgres has not been asked yet.
func (q *queue) announced(epoch int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.epoch, q.refused = epoch, false
}

// join: everything held was announced and verified in epoch. It reports whether
// that is another one than before.
func (q *queue) join(epoch int64) (news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	news, q.joined = q.joined != epoch, epoch
	return news
}

// report returns the epoch for job.Process.
func (q *queue) report() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.joined
}
