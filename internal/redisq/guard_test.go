package redisq

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// changing is every verb that changes something, or speaks of one epoch, sent in
// epoch 1 with work to do.
var changing = map[string]func(*fixture) error{
	"push": func(f *fixture) error {
		_, err := f.Push(context.Background(), f.batch(f.jobs(9, 9)...))
		return err
	},
	"take":    func(f *fixture) error { _, err := f.Take(context.Background(), f.order("t9", 1)); return err },
	"release": func(f *fixture) error { return f.Release(context.Background(), f.queue, 1, f.jobs(8, 1)) },
	"ack":     func(f *fixture) error { return f.Ack(context.Background(), f.queue, 1, refs(8, 1)) },
	"beat": func(f *fixture) error {
		_, _, err := f.Beat(context.Background(), f.queue, 1, job.Lease, refs(8, 1))
		return err
	},
	"announce": func(f *fixture) error {
		_, err := f.Announce(context.Background(), f.queue, 1, job.Lease, refs(7, 7))
		return err
	},
	"expired": func(f *fixture) error {
		_, err := f.Expired(context.Background(), f.queue, 1, job.NoDeadline, 0)
		return err
	},
	"missing": func(f *fixture) error { _, err := f.Missing(context.Background(), f.queue, 1, refs(7, 7)); return err },
	"drop":    func(f *fixture) error { return f.Drop(context.Background(), f.queue, 1, refs(8, 1, 2)) },
	"cancel":  func(f *fixture) error { return f.Cancel(context.Background(), f.queue, 1, refs(8, 1)) },
	"census": func(f *fixture) error {
		_, err := f.Census(context.Background(), job.Census{QueueName: f.queue, Epoch: 1, Paused: true, Forget: []int64{8}})
		return err
	},
	"entomb": func(f *fixture) error {
		_, err := f.Entomb(context.Background(), f.queue, 1, refs(8, 1, 3))
		return err
	},
	"absent": func(f *fixture) error {
		_, _, err := f.Absent(context.Background(), f.queue, 1, refs(8, 1, 3))
		return err
	},
	"waiting": func(f *fixture) error {
		_, _, err := f.Waiting(context.Background(), f.queue, 1, job.Normal, 0)
		return err
	},
	"noted": func(f *fixture) error {
		_, _, err := f.Noted(context.Background(), f.queue, 1, 9, 0)
		return err
	},
	"open": func(f *fixture) error { _, err := f.OpenEpoch(context.Background(), f.queue, 1, true); return err },
}

// inUse leaves something of everything in the queue: 1 leased, 2 leased and ended,
// 4 in lost, 5 called off, 3 waiting.
func (f *fixture) inUse() {
	f.Helper()
	f.pushed(8, 1, 2, 3)
	f.same("taken", f.taken("t1", 2), []int64{1, 2})
	f.do("ZADD", f.leases(), 1, "2:8")
	f.do("ZADD", f.lost(), 5, "4:8")
	f.no(f.Cancel(context.Background(), f.queue, 1, refs(8, 5)))
}

func TestScripts_RefuseWhatIsStale(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		for what, c := range map[string]struct {
			broken []any // a command that makes Redis another one
			epoch  int64 // what the refusal says
		}{
			"newer epoch": {[]any{"HSET", "meta", "epoch", 7}, 7},
			"other life":  {[]any{"HSET", "meta", "life", "0123456789abcdef0123456789abcdef01234567"}, 1},
		} {
			for verb, send := range changing {
				f := f.another()
				f.inUse()
				c.broken[1] = f.meta()
				f.do(c.broken...)
				before := f.state()
				err := send(f)
				var stale *job.StaleError
				if !errors.As(err, &stale) || !errors.Is(err, job.ErrStale) || stale.Epoch != c.epoch {
					t.Errorf("%s, %s: %v, want stale with epoch %d", what, verb, err, c.epoch)
				}
				f.same(what+", "+verb+" changed something", f.state(), before)
			}
		}
	})
}

func TestScripts_RefuseAnEmptyRedis(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		for verb, send := range changing {
			if verb == "open" {
				continue // the one that mends it
			}
			f := f.another()
			f.do("DEL", f.meta())
			before := f.state()
			err := send(f)
			var stale *job.StaleError
			if !errors.As(err, &stale) || stale.Epoch != 0 {
				t.Errorf("%s: %v, want stale with epoch 0", verb, err)
			}
			f.same(verb+" changed something", f.state(), before)
		}
	})
}

// Everything but release may be sent again; release has a test of its own.
func TestScripts_MayBeSentAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		for verb, send := range changing {
			if verb == "release" {
				continue
			}
			f := f.another()
			f.inUse()
			f.no(send(f))
			first := f.state()
			f.no(send(f))
			second := f.state()
			f.same(verb+" sent again", unclocked(second), unclocked(first))
		}
	})
}

// unclocked leaves the members of sorted sets without their scores, which move with
// the clock.
func unclocked(state map[string]any) map[string]any {
	for key, value := range state {
		if !strings.HasSuffix(key, ":leases") && !strings.HasSuffix(key, ":cancelled") {
			continue
		}
		var members []any
		for i, v := range value.([]any) {
			if pair, ok := v.([]any); ok { // RESP3
				members = append(members, pair[0])
			} else if i%2 == 0 {
				members = append(members, v)
			}
		}
		slices.SortFunc(members, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		state[key] = members
	}
	return state
}

func TestScripts_AreLoadedAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.do("SCRIPT", "FLUSH")
		f.inUse()
	})
}
