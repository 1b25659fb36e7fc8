package workers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// untilEnd is a handler that runs until its context ends, and keeps the cause.
type untilEnd struct{ cause atomic.Value }

func (u *untilEnd) work(ctx context.Context, _ *Job) error {
	<-ctx.Done()
	u.cause.Store(context.Cause(ctx))
	return ctx.Err()
}

func (u *untilEnd) want(t *testing.T, want error) {
	t.Helper()
	if got, _ := u.cause.Load().(error); !errors.Is(got, want) {
		t.Errorf("cause = %v, want %v", got, want)
	}
}

func TestBeat_TenThousandInCallsOf500(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 10_000)...)
		r := start(t, m, func(ctx context.Context, _ *Job) error { <-ctx.Done(); return nil },
			func(o *Options, _ *Registry) { o.Concurrency = 10_000; o.DrainTime = -1 })
		r.sleep(6 * time.Second)
		sum := 0
		for _, n := range m.beats {
			if sum += n; n > job.MaxBatch {
				t.Errorf("a beat carries %d, want at most %d", n, job.MaxBatch)
			}
		}
		if sum != 10_000 {
			t.Errorf("leases beaten in one round = %d, want 10000", sum)
		}
		r.end()
	})
}

func TestBeat_GoneEndsTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, u := newMemory(), untilEnd{}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, u.work)
		r.sleep(time.Second)
		ref := job.Ref{ID: 1, DispatchID: 1001}
		r.set(func(m *memory) { delete(m.leases, ref); delete(m.rows, ref) })
		r.sleep(5 * time.Second)
		u.want(t, job.ErrLeaseLost)
		r.wantOutcome(1, "")
		if s := r.w.Status(); s.Running != 0 || s.Held != 0 {
			t.Errorf("Status() = %+v, want nothing running or held", s)
		}
		r.end()
	})
}

// A job that waits to run alone, and is taken back meanwhile, must not keep the
// worker from taking others until the handler it waited for returns.
func TestBeat_GoneBeforeItBeganMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		jobs := envelopes("k", 1, 2)
		jobs[1].Alone = true
		m.push("q", jobs...)
		r := start(t, m, func(ctx context.Context, j *Job) error {
			if j.ID == 1 {
				<-ctx.Done()
			}
			return nil
		})
		r.sleep(time.Second)
		r.set(func(m *memory) { delete(m.leases, jobs[1].Ref()); delete(m.rows, jobs[1].Ref()) })
		m.push("q", envelopes("k", 3, 1)...)
		r.sleep(7 * time.Second) // a beat, and a wait for the bell
		r.wantOutcome(2, "")
		r.wantOutcome(3, job.Succeeded)
		r.end()
	})
}

// Somebody restored Postgres from a copy with lower epochs and emptied Redis: both
// agree on an epoch below the one the worker knows.
func TestEpoch_LowerInPostgresAndRedisIsJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.truth["q"], m.epoch["q"] = 7, 7
		r := start(t, m, ok)
		r.sleep(time.Second)
		r.set(func(m *memory) { m.truth["q"], m.epoch["q"] = 2, 2 })
		m.push("q", envelopes("k", 1, 1)...)
		r.sleep(20 * time.Second)
		r.wantOutcome(1, job.Succeeded)
		if got := m.process.Epochs["q"]; got != 2 {
			t.Errorf("reported epoch = %d, want 2", got)
		}
		r.end()
	})
}

// Relays settle early when every living worker has joined: one that is not in the
// list of the living must hold nothing.
func TestTake_NotBeforePostgresKnowsTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var away atomic.Bool
		away.Store(true)
		m.before = func(call string) error {
			if call == "process" && away.Load() {
				return job.ErrUnavailable
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, ok)
		r.sleep(20 * time.Second)
		if calls := r.calls("take"); len(calls) != 0 {
			t.Errorf("takes before the first beat in Postgres = %d, want none", len(calls))
		}
		away.Store(false)
		r.sleep(3 * time.Second)
		r.wantOutcome(1, job.Succeeded)
		r.end()
	})
}

func TestBeat_CancelledEndsTheHandlerOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, u := newMemory(), untilEnd{}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, u.work)
		r.sleep(time.Second)
		ref := job.Ref{ID: 1, DispatchID: 1001}
		r.set(func(m *memory) { m.cancelled[ref] = true; delete(m.rows, ref) })
		r.sleep(5 * time.Second)
		u.want(t, job.ErrCancelled)
		r.wantLeases(0) // acked: Postgres refused its outcome
		r.end()
	})
}

func TestWatch_UnrenewedLeaseEndsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, u := newMemory(), untilEnd{}
		var away atomic.Bool
		m.before = func(call string) error {
			if away.Load() && (call == "beat" || call == "hold") {
				return errors.New("connection refused")
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, u.work)
		r.sleep(6 * time.Second) // renewed at 5 s
		away.Store(true)
		r.sleep(12*time.Second - 100*time.Millisecond) // 17.9 s
		u.want(t, nil)
		r.sleep(200 * time.Millisecond) // 13 s after 5 s
		u.want(t, job.ErrLeaseLost)
		away.Store(false)
		r.sleep(2 * time.Second)
		// Postgres still had it current: given back, without a failure.
		r.wantRecorded(1, job.Snoozed)
		r.end()
	})
}

// A process that was frozen between take and run must not begin what others may be
// running by now.
func TestBegin_FrozenBetweenTakeAndRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 3)...)
		m.before = func(call string) error {
			if call == "beat" || call == "hold" {
				return errors.New("frozen too")
			}
			return nil
		}
		var ran, taken atomic.Int32
		r := start(t, m, func(context.Context, *Job) error { ran.Add(1); return nil },
			func(o *Options, _ *Registry) {
				o.Failpoint = func(name string) {
					if name == FailAfterTake && taken.Add(1) == 1 {
						time.Sleep(time.Minute) // synctest: time passes in the bubble
					}
				}
			})
		r.sleep(2 * time.Minute)
		if n := ran.Load(); n != 0 {
			t.Errorf("%d handlers began with an ended lease, want none", n)
		}
		r.end()
	})
}

func TestStale_AnnounceVerifyThenTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		causes := make([]atomic.Value, 5)
		m.push("q", envelopes("k", 1, 4)...)
		r := start(t, m, func(ctx context.Context, j *Job) error {
			<-ctx.Done()
			causes[j.ID].Store(context.Cause(ctx))
			return ctx.Err()
		}, func(o *Options, _ *Registry) { o.DrainTime = -1 })
		r.sleep(time.Second)
		r.set(func(m *memory) { // FLUSHALL: another life
			m.epoch["q"] = 0
			clear(m.leases)
		})
		r.sleep(2 * time.Second)
		if got := r.w.Status().Queues[0]; got.Open {
			t.Error("queue is open although Redis is another life")
		}
		r.set(func(m *memory) {
			m.log = nil
			m.lost[job.Ref{ID: 1, DispatchID: 1001}] = true
			delete(m.rows, job.Ref{ID: 1, DispatchID: 1001})
			delete(m.rows, job.Ref{ID: 2, DispatchID: 1002})
			m.truth["q"], m.epoch["q"] = 2, 2 // a relay has begun and opened the next epoch
		})
		m.push("q", envelopes("k", 10, 1)...)
		r.sleep(2 * time.Second)
		for id, want := range map[int]error{1: job.ErrLeaseLost, 2: job.ErrLeaseLost, 3: nil, 4: nil} {
			if got, _ := causes[id].Load().(error); !errors.Is(got, want) || (got == nil) != (want == nil) {
				t.Errorf("cause of job %d = %v, want %v", id, got, want)
			}
		}
		announced, verified, took := slices.Index(m.log, "announce q 2"), slices.Index(m.log, "verify"), slices.Index(m.log, "take q 2")
		if announced < 0 || verified < announced || took < verified {
			t.Errorf("calls = %v, want announce, verify, take", r.calls(""))
		}
		r.wantLeases(3) // 3, 4 and the new one; 2 was acked
		if got := m.process.Epochs["q"]; got != 2 {
			t.Errorf("epoch reported = %d, want 2", got)
		}
		r.end()
	})
}

func TestStale_NeverTakesBelowPostgresEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, ok)
		r.sleep(time.Second)
		r.set(func(m *memory) { m.truth["q"] = 3 }) // Redis still holds 1
		r.sleep(6 * time.Second)
		r.set(func(m *memory) { m.log = nil })
		m.push("q", envelopes("k", 1, 1)...)
		r.sleep(10 * time.Second)
		for _, c := range r.calls("take") {
			if c != "take q 3" {
				t.Errorf("%s, want none below epoch 3", c)
			}
		}
		if n := len(r.calls("process")); n > 20 {
			t.Errorf("asked Postgres %d times in 10 s, want a pause that grows to 1 s", n)
		}
		r.wantOutcome(1, "")
		r.set(func(m *memory) { m.epoch["q"] = 3 })
		r.sleep(2 * time.Second)
		r.wantOutcome(1, job.Succeeded)
		r.end()
	})
}

func TestStale_HigherEpochInRedisIsAdoptedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, ok)
		r.sleep(time.Second)
		r.set(func(m *memory) { m.truth["q"], m.epoch["q"] = 7, 7 })
		m.push("q", envelopes("k", 1, 1)...)
		r.sleep(50 * time.Millisecond)
		r.wantOutcome(1, job.Succeeded)
		r.end()
	})
}

func TestStale_NewQueueIsFoundByItsBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		clear(m.truth)
		clear(m.epoch)
		r := start(t, m, ok)
		r.sleep(10 * time.Second)
		if n := len(r.calls("take")) + len(r.calls("process")); n > 150 {
			t.Errorf("%d calls in 10 s for a queue that does not exist, want fewer", n)
		}
		r.set(func(m *memory) { m.truth["q"], m.epoch["q"] = 1, 1 })
		m.push("q", envelopes("k", 1, 1)...)
		r.sleep(200 * time.Millisecond)
		r.wantOutcome(1, job.Succeeded)
		r.end()
	})
}

func TestVerify_PostgresAwayKeepsAnnouncedLeasesAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, u := newMemory(), untilEnd{}
		var away atomic.Bool
		m.before = func(call string) error {
			if away.Load() && (call == "verify" || call == "process") {
				return job.ErrUnavailable
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, u.work, func(o *Options, _ *Registry) { o.DrainTime = -1 })
		r.sleep(time.Second)
		away.Store(true)
		r.set(func(m *memory) { m.epoch["q"], m.truth["q"] = 2, 2; clear(m.leases) })
		r.sleep(time.Minute)
		u.want(t, nil)
		r.wantLeases(1)
		if r.w.Status().Queues[0].Open {
			t.Error("takes again without having verified")
		}
		away.Store(false)
		r.sleep(2 * time.Second)
		if !r.w.Status().Queues[0].Open {
			t.Error("does not take again after Postgres is back")
		}
		if n := strings.Count(strings.Join(r.calls(""), " "), "beat q 2"); n == 0 {
			t.Error("no beat in the announced epoch")
		}
		r.end()
	})
}

// Postgres has begun the next epoch, and the relay that would open it in Redis is
// slow or dead: leases in the present one are still good.
func TestStale_BeatsGoOnUntilTheNextEpochOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, u := newMemory(), untilEnd{}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, u.work, func(o *Options, _ *Registry) { o.DrainTime = -1 })
		r.sleep(time.Second)
		r.set(func(m *memory) { m.truth["q"] = 2 })
		r.sleep(time.Minute)
		u.want(t, nil)
		r.set(func(m *memory) { m.epoch["q"] = 2 })
		r.sleep(3 * time.Second)
		u.want(t, nil)
		if got := r.w.Status().Queues[0]; !got.Open || got.Epoch != 2 {
			t.Errorf("queue = %+v, want it open in epoch 2", got)
		}
		r.end()
	})
}

// A take that was under way when the epoch changed: what it brings is announced and
// verified before the new epoch is reported.
func TestStale_TakeUnderWayIsJoinedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, u := newMemory(), untilEnd{}
		var slow atomic.Bool
		m.after = func(call string) error {
			if call == "take" && slow.Swap(false) {
				time.Sleep(2 * time.Second) // synctest: the reply travels; meanwhile:
				m.mu.Lock()
				m.truth["q"], m.epoch["q"] = 2, 2
				clear(m.leases)
				clear(m.rows) // settled: the attempt is over
				m.mu.Unlock()
				time.Sleep(time.Second) // synctest
			}
			return nil
		}
		slow.Store(true)
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, u.work)
		r.sleep(10 * time.Second)
		u.want(t, job.ErrLeaseLost)
		if i, j := slices.Index(r.calls(""), "announce q 2"), slices.Index(r.calls(""), "verify"); i < 0 || j < i {
			t.Errorf("calls = %v, want announce and verify", r.calls(""))
		}
		r.end()
	})
}
