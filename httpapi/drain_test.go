package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
)

// spoolOf returns a spool with entries of one job each, named by their kind.
func spoolOf(kinds ...string) *fakeSpool {
	f := &fakeSpool{next: len(kinds)}
	for i, kind := range kinds {
		e := job.SpoolEntry{ID: fmt.Sprintf("%04d", i), Spooled: job.Spooled{Key: "key-" + kind, Specs: []job.Spec{{Kind: kind}}}}
		if strings.HasPrefix(kind, "unreadable") {
			e.Specs, e.Bad = nil, "is not a JSON array of jobs"
		}
		f.entries = append(f.entries, e)
	}
	return f
}

func newDrainer(t *testing.T, spool Spool, keyed Keyed) *drainer {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &drainer{spool: spool, keyed: keyed, detour: &detour{}, m: m, log: slog.New(slog.DiscardHandler), failpoint: func(string) {}}
}

func kindsOf(specs []job.Spec) string {
	var kinds []string
	for _, s := range specs {
		kinds = append(kinds, s.Kind)
	}
	return strings.Join(kinds, " ")
}

func (f *fakeSpool) kinds() string {
	var specs []job.Spec
	for _, e := range f.entries {
		specs = append(specs, e.Specs...)
	}
	return kindsOf(specs)
}

func TestDrainer_InsertsTheOldestFirst(t *testing.T) {
	t.Parallel()
	spool, keyed := spoolOf("a", "b", "c", "d", "e", "f", "g"), &fakeKeyed{}
	if err := newDrainer(t, spool, keyed).turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := kindsOf(keyed.jobs); got != "a b c d e f g" || len(spool.entries) != 0 {
		t.Errorf("inserted %q, %q left; want all, in order", got, spool.kinds())
	}
	if keyed.calls != 3 {
		t.Errorf("InsertSpooled called %d times, want once a page of 3", keyed.calls)
	}
}

// Neither what cannot be read, nor what Postgres will never take, nor what it does
// not take now holds up the others.
func TestDrainer_AnOddEntryHoldsUpNobody(t *testing.T) {
	t.Parallel()
	spool := spoolOf("a", "unreadable", "b", "odd", "c", "field", "reused", "locked", "strange", "d")
	keyed := &fakeKeyed{fail: func(requests []job.Spooled) error {
		for _, r := range requests {
			switch r.Key {
			case "key-odd":
				return fmt.Errorf("insert: %w", &job.DataError{SQLState: "22003", Message: "secret"})
			case "key-field":
				return &job.FieldError{Field: "kind", Problem: "is odd"}
			case "key-reused":
				return job.ErrKeyReused
			case "key-locked":
				return job.ErrConflict
			case "key-strange":
				return errors.New("strange")
			}
		}
		return nil
	}}
	d := newDrainer(t, spool, keyed)
	if err := d.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := kindsOf(keyed.jobs); got != "a b c d" {
		t.Errorf("inserted %q, want a b c d", got)
	}
	if got := spool.kinds(); got != "locked strange" {
		t.Errorf("left in the spool: %q, want those that may be taken later", got)
	}
	if len(spool.refused) != 4 || strings.Contains(fmt.Sprint(spool.refused), "secret") {
		t.Errorf("set aside: %v, want four with reasons that quote nothing", spool.refused)
	}
	keyed.fail = nil
	if err := d.turn(t.Context()); err != nil || len(spool.entries) != 0 || kindsOf(keyed.jobs) != "a b c d locked strange" {
		t.Errorf("the next turn = %v, inserted %q, left %q", err, kindsOf(keyed.jobs), spool.kinds())
	}
}

// An insert that commits without saying so, and a removal that does not happen, are
// made good by the keys.
func TestDrainer_InsertsOnceWhateverIsLost(t *testing.T) {
	t.Parallel()
	spool, keyed := spoolOf("a", "b"), &fakeKeyed{lost: true, fail: func([]job.Spooled) error { return errAway }}
	d := newDrainer(t, spool, keyed)
	if err := d.turn(t.Context()); !errors.Is(err, job.ErrUnavailable) || len(spool.entries) != 2 {
		t.Errorf("turn = %v with %q left, want unavailable with both", err, spool.kinds())
	}
	if calls := keyed.calls; calls != 1 {
		t.Errorf("a Postgres that is away was asked %d times in a turn, want 1", calls)
	}
	keyed.fail, spool.err = nil, job.ErrUnavailable
	if err := d.page(t.Context(), spoolOf("a", "b").entries); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("page without Redis = %v, want unavailable", err)
	}
	spool.err = nil
	*spool = *spoolOf("a", "b")
	if err := d.turn(t.Context()); err != nil || kindsOf(keyed.jobs) != "a b" || len(spool.entries) != 0 {
		t.Errorf("turn = %v, inserted %q, left %q; want each once", err, kindsOf(keyed.jobs), spool.kinds())
	}
}

func TestDrainer_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	spool := spoolOf("a")
	ctx, cancel := context.WithCancel(t.Context())
	keyed := &fakeKeyed{fail: func([]job.Spooled) error { cancel(); return context.Canceled }}
	newDrainer(t, spool, keyed).run(ctx)
	if len(spool.entries) != 1 || len(spool.refused) != 0 {
		t.Errorf("left %q, set aside %v, want the entry untouched", spool.kinds(), spool.refused)
	}
}

// latePeek is a spool whose first look takes a while.
type latePeek struct {
	fakeSpool
	began, end chan struct{}
	done       atomic.Bool
}

func (l *latePeek) Peek(ctx context.Context, after string) (job.SpoolPage, error) {
	if !l.done.Load() {
		close(l.began)
		<-l.end
		l.done.Store(true)
	}
	return l.fakeSpool.Peek(ctx, after)
}

// The seal keys are read before the first request: Postgres may be gone after it.
func TestSpool_IsReadyBeforeTheFirstRequest(t *testing.T) {
	t.Parallel()
	spool := &latePeek{began: make(chan struct{}), end: make(chan struct{})}
	var early atomic.Bool
	jobs := &fakeJobs{before: func(context.Context) { early.Store(!spool.done.Load()) }}
	s := newServer(t, jobs, Options{Addr: "127.0.0.1:0", Spool: spool, Keyed: &fakeKeyed{}})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	<-spool.began
	answered := make(chan error, 1)
	go func() {
		r, err := http.Post("http://"+s.Addr()+"/v1/jobs", "application/json", strings.NewReader(`{"queue": "q", "kind": "k"}`))
		if err == nil {
			err = r.Body.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("answered (%v) before the spool was looked at", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(spool.end)
	if err := <-answered; err != nil || early.Load() {
		t.Errorf("POST = %v, inserted before the spool was looked at: %t; want nil, false", err, early.Load())
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
