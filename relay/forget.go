package relay

import (
	"context"
	"time"
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
		case q.batches.mark.at.IsZero():
			q.batches.mark = mark{seq: q.window.seq, at: now}
		case q.window.reachable() && now.Sub(q.batches.mark.at) >= leftAfter:
			marks[q.name], beliefs[q.name] = q.batches.mark, q.believeLocked()
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
			q.batches.mark = mark{seq: q.window.seq, at: time.Now()}
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
		q.batches.recordedAnew(ids, time.Now())
		q.mu.Unlock()
		if cursor = next; next == 0 {
			return nil
		}
	}
}
