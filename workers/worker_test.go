package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
)

// rig is a worker on a memory, inside a synctest bubble.
type rig struct {
	t *testing.T
	*memory
	w     *Worker
	stop  context.CancelFunc
	ended chan error
}

func ok(context.Context, *Job) error { return nil }

// start runs a worker of queue q with h for kind "k".
func start(t *testing.T, m *memory, h HandlerFunc, change ...func(*Options, *Registry)) *rig {
	t.Helper()
	o := Options{ID: "w", Queues: []QueueWeight{{Name: "q"}}, Registerer: prometheus.NewRegistry()}
	if testing.Verbose() {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	registry := NewRegistry()
	ho := HandlerOptions{}
	for _, c := range change {
		c(&o, registry)
	}
	registry.Handle("k", h, ho)
	w, err := New(m, m, leasesOf{m}, registry, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &rig{t: t, memory: m, w: w, stop: stop, ended: make(chan error, 1)} // one: read once
	go func() { r.ended <- w.Run(ctx) }()
	return r
}

// end stops the worker and fails unless it ends well, with every goroutine: a
// synctest bubble does not end before they have.
func (r *rig) end() {
	r.t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run() = %v, want nil", err)
	}
	if !r.retired {
		r.t.Error("Run() has returned and the process was not retired")
	}
}

func (r *rig) sleep(d time.Duration) { time.Sleep(d); synctest.Wait() } // the bubble's clock

func (r *rig) outcome(id int64) job.Outcome {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	return r.memory.ended[job.Ref{ID: id, DispatchID: 1000 + id}]
}

func (r *rig) wantOutcome(id int64, want job.OutcomeKind) job.Outcome {
	r.t.Helper()
	o := r.outcome(id)
	if o.Kind != want {
		r.t.Errorf("outcome of job %d = %q (error %q), want %q", id, o.Kind, o.Error, want)
	}
	return o
}

func (r *rig) wantLeases(want int) {
	r.t.Helper()
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	if got := len(r.memory.leases); got != want {
		r.t.Errorf("leases left = %d, want %d", got, want)
	}
}

func (r *rig) calls(prefix string) (list []string) {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	for _, c := range r.memory.log {
		if strings.HasPrefix(c, prefix) {
			list = append(list, c)
		}
	}
	return list
}

func (r *rig) set(change func(m *memory)) {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	change(r.memory)
}

func TestWorker_RunsRecordsAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 1203)...)
		r := start(t, m, ok)
		r.sleep(time.Second)
		if n := len(r.calls("wait")); n > 3 {
			t.Errorf("waited %d times, want a take after a take while there is more", n)
		}
		for id := int64(1); id <= 1203; id++ {
			r.wantOutcome(id, job.Succeeded)
		}
		r.wantLeases(0)
		if s := r.w.Status(); s.Held != 0 || s.Running != 0 || s.Outcomes != 0 || s.Queues[0].Epoch != 1 {
			t.Errorf("Status() = %+v, want nothing held in epoch 1", s)
		}
		r.end()
	})
}

func TestWorker_JudgesWhatHandlersReturn(t *testing.T) {
	type row struct {
		err   error
		want  job.OutcomeKind
		text  string
		delay [2]time.Duration
	}
	rows := map[int64]row{
		1: {err: nil, want: job.Succeeded},
		2: {err: errors.New("no route"), want: job.Failed, text: "no route", delay: [2]time.Duration{500 * time.Millisecond, time.Second}},
		3: {err: fmt.Errorf("later: %w", job.Snooze(time.Hour)), want: job.Snoozed, delay: [2]time.Duration{time.Hour, time.Hour}},
		4: {err: job.Snooze(1e18), want: job.Snoozed, delay: [2]time.Duration{job.MaxDelay, job.MaxDelay}},
		5: {err: job.Discard(errors.New("bad address")), want: job.Discarded, text: "bad address"},
		6: {err: job.Cancel(nil), want: job.CalledOff},
		7: {err: errors.New("a\x00b\xff" + strings.Repeat("x", 9000)), want: job.Failed, text: "a\uFFFDb\uFFFDxxx", delay: [2]time.Duration{1, time.Second}},
		8: {err: (*job.DataError)(nil), want: job.Failed, text: "panic in the error", delay: [2]time.Duration{1, time.Second}},
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, func(_ context.Context, j *Job) error { return rows[j.ID].err })
		m.push("q", envelopes("k", 1, int64(len(rows)))...)
		r.sleep(time.Second)
		for id, row := range rows {
			o := r.wantOutcome(id, row.want)
			if !strings.HasPrefix(o.Error, row.text) || len(o.Error) > job.MaxErrorText {
				t.Errorf("error of job %d = %.40q, want %q", id, o.Error, row.text)
			}
			if o.Delay < row.delay[0] || o.Delay > row.delay[1] {
				t.Errorf("delay of job %d = %s, want %s", id, o.Delay, row.delay)
			}
		}
		r.end()
	})
}

func TestWorker_PanicAndGoexitAreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, func(_ context.Context, j *Job) error {
			if j.ID == 1 {
				panic("boom")
			}
			goexit()
			return nil
		})
		m.push("q", envelopes("k", 1, 2)...)
		r.sleep(time.Second)
		if o := r.wantOutcome(1, job.Failed); o.Error != "panic: boom" || !strings.Contains(o.Stack, "worker_test.go") {
			t.Errorf("outcome = %q with stack %q, want the panic's value and place", o.Error, o.Stack)
		}
		if o := r.wantOutcome(2, job.Failed); !strings.Contains(o.Error, "Goexit") {
			t.Errorf("error = %q, want one that names Goexit", o.Error)
		}
		r.end()
	})
}

func TestWorker_UnknownKindIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, ok)
		jobs := envelopes("other", 1, 5)
		for i, n := range []int32{1, 2, 5, 6, 1 << 30} {
			jobs[i].AttemptCount = n
		}
		m.push("q", jobs...)
		r.sleep(time.Second)
		for i, want := range []time.Duration{10 * time.Second, 20 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute} {
			if o := r.wantOutcome(int64(i+1), job.Snoozed); o.Delay != want {
				t.Errorf("delay at attempt %d = %s, want %s", jobs[i].AttemptCount, o.Delay, want)
			}
		}
		r.wantLeases(0)
		r.end()
	})
	u, now := newUnknown(), time.Now()
	if !u.alarm("a", now) || u.alarm("a", now.Add(59*time.Second)) || !u.alarm("b", now) || !u.alarm("a", now.Add(time.Minute)) {
		t.Error("alarm: want the first of a kind, and one a minute")
	}
}

func TestWorker_QueueHandlerAndMiddlewareOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var order []string
		named := func(name string) Middleware {
			return func(next Handler) Handler {
				return HandlerFunc(func(ctx context.Context, j *Job) error {
					order = append(order, name)
					return next.Work(ctx, j)
				})
			}
		}
		r := start(t, m, ok, func(o *Options, reg *Registry) {
			o.Middleware = []Middleware{named("outer"), named("inner")}
			reg.HandleQueue("q", Typed(func(_ context.Context, _ *Job, n int) error { order = append(order, fmt.Sprint(n)); return nil }), HandlerOptions{})
		})
		e := envelopes("whatever", 1, 1)
		e[0].Payload = []byte(`42`)
		m.push("q", e...)
		r.sleep(time.Second)
		if want := []string{"outer", "inner", "42"}; !slices.Equal(order, want) {
			t.Errorf("order = %v, want %v", order, want)
		}
		e = envelopes("whatever", 2, 1)
		e[0].Payload = []byte(`"x"`)
		m.push("q", e...)
		r.sleep(time.Second)
		if o := r.wantOutcome(2, job.Failed); !strings.HasPrefix(o.Error, "decode payload:") {
			t.Errorf("error = %q, want a failed decoding", o.Error)
		}
		r.end()
	})
}

func TestWorker_UnreadableEnvelopeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		ref := job.Ref{ID: 9, DispatchID: 1009}
		m.rows[ref], m.broken["q"] = job.Dispatched, []job.Ref{ref}
		r := start(t, m, ok)
		r.sleep(time.Second)
		if o := r.wantOutcome(9, job.Failed); o.Error != job.ErrEnvelope.Error() {
			t.Errorf("error = %q, want %q", o.Error, job.ErrEnvelope)
		}
		r.wantLeases(0)
		r.end()
	})
}

func TestNew_SaysWhatIsWrong(t *testing.T) {
	good := func() (*Registry, Options) {
		r := NewRegistry()
		r.Handle("k", HandlerFunc(ok), HandlerOptions{})
		return r, Options{Queues: []QueueWeight{{Name: "q"}}}
	}
	for name, spoil := range map[string]func(r *Registry, o *Options){
		"two handlers":       func(r *Registry, _ *Options) { r.Handle("k", HandlerFunc(ok), HandlerOptions{}) },
		"is nil":             func(r *Registry, _ *Options) { r.Handle("l", nil, HandlerOptions{}) },
		"has no kind":        func(r *Registry, _ *Options) { r.Handle("", HandlerFunc(ok), HandlerOptions{}) },
		"queue_name":         func(r *Registry, _ *Options) { r.HandleQueue("{q}", HandlerFunc(ok), HandlerOptions{}) },
		"no handler":         func(r *Registry, _ *Options) { *r = *NewRegistry() },
		"no queue":           func(_ *Registry, o *Options) { o.Queues = nil },
		"named twice":        func(_ *Registry, o *Options) { o.Queues = append(o.Queues, o.Queues[0]) },
		"some have none":     func(_ *Registry, o *Options) { o.Queues = append(o.Queues, QueueWeight{Name: "r", Weight: 1}) },
		"weight -1":          func(_ *Registry, o *Options) { o.Queues[0].Weight = -1 },
		"concurrency is -1":  func(_ *Registry, o *Options) { o.Concurrency = -1 },
		"beat is 7s":         func(_ *Registry, o *Options) { o.Beat = 7 * time.Second },
		"beat is 1ns":        func(_ *Registry, o *Options) { o.Beat, o.Lease = 1, 3 },
		"middleware is nil":  func(_ *Registry, o *Options) { o.Middleware = []Middleware{nil} },
		"buffer is -1":       func(_ *Registry, o *Options) { o.Buffer = -1 },
		"flush every is -1s": func(_ *Registry, o *Options) { o.FlushEvery = -time.Second },
	} {
		r, o := good()
		spoil(r, &o)
		if _, err := New(newMemory(), newMemory(), leasesOf{newMemory()}, r, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New() = %v, want an error with %q", err, name)
		}
	}
	r, o := good()
	if _, err := New(newMemory(), newMemory(), leasesOf{newMemory()}, r, o); err != nil {
		t.Errorf("New() = %v, want nil", err)
	}
}
