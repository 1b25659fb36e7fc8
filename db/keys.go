package db

import (
	"context"

	"github.com/penguinmails/rookery/db/internal/query"
)

// keys are the two advisory locks by which outbox.wake() knows what to do. They are
// held by a Listener's session, and tail never without gate: so a session that has
// the gate has nobody to contend with for the other, save producers that ask.
type keys struct {
	gate bool // (1380928331, 1): do not notify
	tail bool // (1380928331, 2): send a message into the WAL instead
}

// tailTries is how often the second key is tried. A producer that asks has it for
// microseconds, and to give up means a NOTIFY for every insert of the next second.
const tailTries = 5

// settle has the session hold the keys that wanted names when its turn has come, and
// reports whether it holds the gate. Another session may hold it.
func (l *Listener) settle(ctx context.Context, wanted func() keys) (gate bool, err error) {
	return ask(ctx, l, func(ctx context.Context, q *query.Queries) (bool, error) {
		before := l.held
		gate, err := l.take(ctx, q, wanted())
		if err == nil && l.held == before {
			// An order stands for the session's ping, so it says something in any case.
			_, err = q.Ping(ctx)
		}
		return gate, err
	})
}

// unmute settles and draws the horizon: every transaction that may have seen the
// gate closed and nobody tailing lies below it, and wakes nobody when it commits.
func (l *Listener) unmute(ctx context.Context, wanted func() keys) (passed func(context.Context) (bool, error), err error) {
	horizon, err := ask(ctx, l, func(ctx context.Context, q *query.Queries) (int64, error) {
		if _, err := l.take(ctx, q, wanted()); err != nil {
			return 0, err
		}
		return q.Horizon(ctx)
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (bool, error) {
		return ask(ctx, l, func(ctx context.Context, q *query.Queries) (bool, error) {
			return q.HorizonPassed(ctx, horizon)
		})
	}, nil
}

// take takes and gives back keys, on the session's own goroutine.
func (l *Listener) take(ctx context.Context, q *query.Queries, want keys) (gate bool, err error) {
	if !want.gate {
		return false, l.open(ctx, q)
	}
	if !l.held.gate {
		if l.held.gate, err = q.CloseGate(ctx); err != nil || !l.held.gate {
			return false, err
		}
	}
	switch {
	case want.tail && !l.held.tail:
		for range tailTries {
			if l.held.tail, err = q.TellByWAL(ctx); err != nil || l.held.tail {
				return true, err
			}
		}
		return false, l.open(ctx, q) // a stranger has it: who sleeps behind a closed gate must be told
	case !want.tail && l.held.tail:
		l.held.tail = false
		return true, q.TellNobody(ctx)
	}
	return true, nil
}

// open gives both keys back.
func (l *Listener) open(ctx context.Context, q *query.Queries) error {
	if l.held == (keys{}) {
		return nil
	}
	l.held = keys{}
	return q.OpenGate(ctx)
}
