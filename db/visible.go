package db

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
)

// How often a transaction is looked for that has been read in the WAL and is not
// visible yet: at first as a hot relay polls, then, when a synchronous standby lets
// it wait, less often.
const (
	soonVisible = time.Millisecond
	lateVisible = 64 * time.Millisecond
)

// found notes a transaction that sent a message.
func (t *Tail) found(xid uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hot {
		return
	}
	t.xids = append(t.xids, int64(xid))
	signal(t.arrived)
}

func (t *Tail) takeFound() []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	xids := t.xids
	t.xids = nil
	return xids
}

// announce wakes the relay when transactions that sent a message become visible.
func (t *Tail) announce(ctx context.Context) {
	var hidden []int64
	pause := soonVisible
	for ctx.Err() == nil {
		if t.await(ctx, len(hidden) > 0, pause) {
			pause = soonVisible
		}
		hidden = append(hidden, t.takeFound()...)
		if len(hidden) == 0 {
			continue
		}
		left, err := t.hidden(ctx, hidden)
		if err != nil { // there is no session: what is not visible by now is the poll's
			t.listener.wake()
			hidden = nil
			continue
		}
		if len(left) < len(hidden) {
			t.listener.wake()
			pause = soonVisible
		} else {
			pause = min(2*pause, lateVisible)
		}
		hidden = left
	}
}

// await waits for a message, or, when some are hidden, for a pause. It reports
// whether one has arrived.
func (t *Tail) await(ctx context.Context, hidden bool, pause time.Duration) bool {
	var over <-chan time.Time
	if hidden {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-t.arrived:
		return true
	case <-over:
	case <-ctx.Done():
	}
	return false
}

// hidden returns those of the transactions that are not visible yet.
func (t *Tail) hidden(ctx context.Context, xids []int64) ([]int64, error) {
	return ask(ctx, t.listener, func(ctx context.Context, q *query.Queries) ([]int64, error) {
		return q.ListHidden(ctx, xids)
	})
}
