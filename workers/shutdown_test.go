package workers

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestShutdown_DrainsRecordsAcksRetires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 50)...)
		r := start(t, m, func(ctx context.Context, j *Job) error {
			time.Sleep(time.Duration(j.ID) * 200 * time.Millisecond)
			return context.Cause(ctx)
		})
		r.sleep(time.Second)
		begin := time.Now()
		r.end()
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("shutdown took %s, want no longer than the longest handler", took)
		}
		for id := int64(1); id <= 50; id++ {
			r.wantOutcome(id, job.Succeeded)
		}
		r.wantLeases(0)
	})
}

func TestShutdown_EndsHandlersAfterTheDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, u := newMemory(), untilEnd{}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, u.work)
		r.sleep(time.Second)
		begin := time.Now()
		r.end()
		if took := time.Since(begin); took != 25*time.Second {
			t.Errorf("shutdown took %s, want 25s", took)
		}
		u.want(t, job.ErrShutdown)
		r.wantOutcome(1, job.Snoozed) // no failure of the job's
		r.wantLeases(0)
	})
}

func TestShutdown_LeavesADeafHandlerBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		deaf := make(chan struct{})
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(context.Context, *Job) error { <-deaf; return nil })
		r.sleep(time.Second)
		begin := time.Now()
		r.stop()
		if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "1 handlers did not return") {
			t.Errorf("Run() = %v, want an error that counts the handler", err)
		}
		if took := time.Since(begin); took > 30*time.Second {
			t.Errorf("shutdown took %s, want at most 30s", took)
		}
		r.wantLeases(1)
		close(deaf)
	})
}

func TestShutdown_ReleasesWhatHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		jobs := envelopes("k", 1, 3)
		jobs[1].Alone = true
		m.push("q", jobs...)
		r := start(t, m, func(context.Context, *Job) error { time.Sleep(10 * time.Second); return nil })
		r.sleep(time.Second)
		r.end()
		r.wantOutcome(1, job.Succeeded)
		r.wantOutcome(2, "")
		r.wantOutcome(3, job.Succeeded)
		if len(m.released) != 1 || m.released[0].ID != 2 {
			t.Errorf("released = %v, want job 2", m.released)
		}
	})
}

// What was taken in an ended epoch is announced, but its ledger row is still of that
// epoch: a copy put back into the new window would be settled where it lies, handed
// out again, and then run by whoever takes the old copy, whose lease is good.
func TestShutdown_GivesBackThroughPostgresWhatAnEndedEpochBrought(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		jobs := envelopes("k", 1, 3)
		jobs[1].Alone = true
		m.push("q", jobs...)
		r := start(t, m, func(context.Context, *Job) error { time.Sleep(30 * time.Second); return nil })
		r.sleep(time.Second)
		r.set(func(m *memory) { m.truth["q"], m.epoch["q"] = 2, 2 })
		r.sleep(10 * time.Second)
		if m.process.Epochs["q"] != 2 {
			t.Fatalf("reported epoch = %d, want 2 joined", m.process.Epochs["q"])
		}
		r.end()
		r.wantOutcome(1, job.Succeeded)
		r.wantOutcome(2, job.Snoozed)
		if len(m.released) != 0 {
			t.Errorf("released = %v into a window of another epoch", m.released)
		}
		r.wantLeases(0)
	})
}

// The take whose answer was lost has leased jobs: they are asked for once more and
// given back.
func TestShutdown_ReleasesWhatAnUnansweredTakeBrought(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var stopped atomic.Bool
		m.after = func(call string) error {
			if call == "take" && !stopped.Load() {
				return job.ErrUnavailable
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 7)...)
		r := start(t, m, ok)
		r.sleep(100 * time.Millisecond)
		stopped.Store(true)
		r.end()
		if len(m.released) != 7 {
			t.Errorf("released = %v, want all 7", m.released)
		}
		r.wantLeases(0)
	})
}

func TestShutdown_PostgresAwayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.before = func(call string) error {
			if call == "reconcile" {
				return job.ErrUnavailable
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 5)...)
		r := start(t, m, ok)
		r.sleep(time.Second)
		r.stop()
		if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "5 outcomes") {
			t.Errorf("Run() = %v, want an error that counts 5 outcomes", err)
		}
	})
}
