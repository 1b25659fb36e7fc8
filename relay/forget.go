package relay

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Redis notes every batch it accepts, and a relay has the notes of its own batches
// forgotten a minute after their seq was recorded. Those of a relay that has stopped
// would stay until the epoch ends: the others forget them, under the same rule. A
// note goes a minute after a relay has seen that the seq is recorded (or that the
// ledger row has gone, because nothing of the batch was current), and never before:
// by then every push of the batch is late.

// leftAfter is after how long a note counts as left behind: by then its relay would
// have had it forgotten.
const leftAfter = 2 * forgetAfter

// mark is how many batches Redis had accepted at some time.
type mark struct {
	seq int64
	at  time.Time
}

// forgetLeft looks for notes left behind, in each queue every two minutes.
func (r *Relay) forgetLeft(ctx context.Context) error {
	marks, beliefs := map[string]mark{}, map[string]belief{}
	now := time.Now()
	for _, q := range r.all() {
		q.mu.Lock()
		switch {
		case q.mark.at.IsZero():
			q.mark = mark{seq: q.seq, at: now}
		case q.reachableLocked() && now.Sub(q.mark.at) >= leftAfter:
			marks[q.name], beliefs[q.name] = q.mark, q.believeLocked()
		}
		q.mu.Unlock()
	}
	return eachQueue(marks, func(name string, m mark) error {
		q, b := r.known(name), beliefs[name]
		if q == nil {
			return nil
		}
		if err := r.adoptNotes(ctx, q, b, m.seq); err != nil {
			return err
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.Epoch == b.epoch {
			q.mark = mark{seq: q.seq, at: time.Now()}
		}
		return nil
	})
}

// adoptNotes makes the notes up to a seq our own, as far as the ledger has theirs
// recorded: the census has them forgotten in a minute.
func (r *Relay) adoptNotes(ctx context.Context, q *queue, b belief, upTo int64) error {
	for cursor := uint64(0); ; {
		asking, cancel := context.WithTimeout(ctx, askLimit)
		ids, next, err := r.redis.Noted(asking, b.name, b.epoch, upTo, cursor)
		cancel()
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			if ids, err = r.store.Recorded(ctx, ids); err != nil {
				return err
			}
		}
		q.mu.Lock()
		if q.Epoch != b.epoch {
			q.mu.Unlock()
			return nil // its notes are gone
		}
		q.recordedAnewLocked(time.Now(), ids)
		q.mu.Unlock()
		if cursor = next; next == 0 {
			return nil
		}
	}
}

// recordedAnewLocked notes batches as recorded now, except those that are noted
// already.
func (q *queue) recordedAnewLocked(now time.Time, ids []int64) {
	known := make(map[int64]bool, len(q.old))
	for _, b := range q.old {
		known[b.id] = true
	}
	var fresh []job.Recorded
	for _, id := range ids {
		if !known[id] {
			fresh = append(fresh, job.Recorded{DispatchID: id})
		}
	}
	q.recordedLocked(now, fresh)
}
