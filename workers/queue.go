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
	held   *held // of the worker
	taking sync.Mutex

	// Of the fetch loop alone: whether it is this queue's turn (turns.go).
	rung bool      // its bell rang, and no take was answered since
	hot  bool      // the last take left jobs behind
	due  time.Time // when it is asked though no bell rang; zero: at once
	lost int       // rounds since the last answer in which it was its turn, and others took all slots

	// Of the fetch loop alone: the take that has no answer yet.
	token      string
	tokenEpoch int64 // in which the token was first sent
	retry      retry
	again      time.Time // not before; zero: at once
	claims     claims
	rivals     rivals

	mu      sync.Mutex
	truth   int64     // the highest epoch anybody told of: Postgres, or a Redis that is ahead of it
	epoch   int64     // in which what is held is leased: beats and acks name it
	joined  int64     // in which all that is held was announced and verified
	refused bool      // Redis answered STALE since
	redis   int64     // the epoch it named
	asked   retry     // how often in a row; paces the questions for a new epoch
	news    time.Time // when truth went above epoch; zero: it is not
	silent  time.Time // since when no call to Redis did what it was asked; zero: the last one did
	tried   bool      // Redis answered a probe: one take may be tried
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
	q.truthLocked(epoch)
	return true
}

// truthLocked notes the epoch that Postgres has, or a Redis ahead of it.
func (q *queue) truthLocked(epoch int64) {
	q.truth = epoch
	switch {
	case q.truth <= q.epoch:
		q.news = time.Time{}
	case q.news.IsZero():
		q.news = time.Now()
	}
}

// left reports whether the epoch in which attempts are leased ended d ago or longer,
// and the next has not been announced: what renews them may be a Redis that everybody
// else has left.
func (q *queue) left(now time.Time, d time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.news.IsZero() && now.Sub(q.news) >= d
}

// present reports whether epoch is the newest one known: leases that were renewed in
// an ended one are not trusted.
func (q *queue) present(epoch int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return epoch >= q.truth
}

// refuse notes that Redis answered STALE to a call of epoch used, and reports
// whether that is news. An answer to a call of an epoch that is history says nothing;
// one to an announce of the next epoch, that it is not open yet: until it is, the
// leases in the present one are renewed as ever.
func (q *queue) refuse(used int64, stale *job.StaleError) (news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if used != q.epoch {
		q.truthLocked(max(q.truth, stale.Epoch))
		return false
	}
	news = !q.refused && q.epoch > 0 && q.asked.failures == 0
	q.refused, q.redis = true, stale.Epoch
	q.truthLocked(max(q.truth, stale.Epoch))
	return news
}

// accepted notes that Redis did what it was asked in epoch used.
func (q *queue) accepted(used int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.silent, q.tried = time.Time{}, false
	if used == q.epoch {
		q.asked.reset()
	}
}

// unanswered notes that a call to Redis failed, or was refused as STALE.
func (q *queue) unanswered(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tried = false
	if q.silent.IsZero() {
		q.silent = now
	}
}

// away reports whether Redis has done nothing for d, though it was asked.
func (q *queue) away(now time.Time, d time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.silent.IsZero() && now.Sub(q.silent) >= d
}

// try has the fetch loop try one take, although Redis is away.
func (q *queue) try() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tried = true
}

// direct reports whether to take from Postgres: Redis is away, and nothing hints at
// its being back in an epoch that is joined.
func (q *queue) direct(now time.Time, d time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	back := q.tried && q.joined == q.truth && !q.refused
	return !q.silent.IsZero() && now.Sub(q.silent) >= d && !back
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
	q.truthLocked(q.truth)
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
