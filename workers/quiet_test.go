package workers

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// orders has what people say of the worker "w", as the API writes it.
func (m *memory) order(quiet bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for who := range m.quiet {
		m.quiet[who] = quiet
	}
}

func (m *memory) isQuiet() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, quiet := range m.quiet {
		return quiet
	}
	return false
}

// A quiet worker finishes what it has under its lease, takes nothing, lives on, and takes
// jobs again when it is told to.
func TestQuiet_ByOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(_ context.Context, j *Job) error {
			if j.ID == 1 {
				time.Sleep(time.Minute)
			}
			return nil
		})
		r.sleep(time.Second)
		m.order(true)
		r.sleep(2 * job.Beat)
		m.push("q", envelopes("k", 2, 2)...)
		r.sleep(30 * time.Second)
		r.wantLeases(1)
		r.wantOutcome(2, "")
		r.sleep(30 * time.Second)
		r.wantOutcome(1, job.Succeeded)
		r.wantLeases(0)
		m.mu.Lock()
		if !m.living["w"] {
			t.Error("the worker is not in the list of the living")
		}
		m.mu.Unlock()
		m.order(false)
		r.sleep(2 * job.Beat)
		r.wantOutcome(2, job.Succeeded)
		r.wantOutcome(3, job.Succeeded)
		r.end()
	})
}

// Told by a signal it is quiet at once, Postgres knows within a beat, and people undo it.
func TestQuiet_BySignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, func(context.Context, *Job) error { return nil })
		r.sleep(time.Second)
		r.w.Quiet()
		synctest.Wait()
		m.push("q", envelopes("k", 1, 1)...)
		r.sleep(time.Second)
		if !m.isQuiet() {
			t.Error("Postgres does not know that the worker is quiet")
		}
		m.order(true)
		var life int64
		if r.set(func(m *memory) { life = m.process.Life }); life == 0 || life == newLife() {
			t.Errorf("the worker's life is %d, want a number of its own: what it is told is not for the next", life)
		}
		r.sleep(5 * job.Beat)
		r.wantOutcome(1, "")
		m.order(false)
		r.sleep(2 * job.Beat)
		r.wantOutcome(1, job.Succeeded)
		r.end()
	})
}
