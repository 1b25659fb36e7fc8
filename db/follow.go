package db

import (
	"context"
	"time"
)

// streamPause is the longest pause before the WAL is tailed anew.
const streamPause = 10 * time.Second

// follow tails until ctx ends, and begins anew after every break.
func (t *Tail) follow(ctx context.Context) {
	pause, told, before := listenerPause, false, false
	for ctx.Err() == nil {
		began, err := t.followOnce(ctx, before)
		if ctx.Err() != nil {
			return
		}
		if began {
			pause, told, before = listenerPause, false, true
		}
		if !told { // once a fault, not once a try
			t.log.WarnContext(ctx, "cannot tail the WAL; woken by NOTIFY until it can", "error", err, "remedy", "rookery doctor")
			t.metrics.fallbacks.Inc()
			told = true
		}
		sleep(ctx, pause)
		pause = min(2*pause, streamPause)
	}
}

// followOnce tails until the session breaks. began says that it did tail.
func (t *Tail) followOnce(ctx context.Context, again bool) (began bool, err error) {
	s, err := openStream(ctx, t.config, func() {
		t.log.InfoContext(ctx, "the WAL is tailed once every transaction that is open has ended; woken by NOTIFY until then")
	})
	if err != nil {
		return false, err
	}
	defer s.close(ctx)
	t.log.InfoContext(ctx, "tailing the WAL", "again", again)
	t.metrics.tailing.Set(1)
	t.setLive(true)
	err = s.tail(ctx, t.found)
	t.setLive(false)
	t.metrics.tailing.Set(0)
	return true, err
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
