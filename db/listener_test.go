package db_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// listen runs a Listener on url until the test ends, and waits for its session.
func listen(t *testing.T, url string) *db.Listener {
	t.Helper()
	l, err := db.NewListener(url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("NewListener: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	woken(t, l, "the first session")
	return l
}

func woken(t *testing.T, l *db.Listener, why string) {
	t.Helper()
	wokenBy(t, l.Woken(), why)
}

func wokenBy(t *testing.T, woken <-chan struct{}, why string) {
	t.Helper()
	select {
	case <-woken:
	case <-time.After(patience):
		t.Fatalf("not woken by %s", why)
	}
}

// ear is a plain session that listens as a relay does.
func ear(w *world) *pgx.Conn {
	w.Helper()
	c, err := pgx.Connect(w.Context(), w.url)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close(context.Background()) })
	if _, err := c.Exec(w.Context(), "LISTEN outbox"); err != nil {
		w.Fatal(err)
	}
	return c
}

// hears sends a marker behind what was done before, and reports whether anything
// was notified ahead of it.
func hears(w *world, c *pgx.Conn) bool {
	w.Helper()
	w.exec("SELECT pg_notify('outbox', 'marker')")
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	heard := false
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			w.Fatalf("waiting for the marker: %v", err)
		}
		if n.Payload == "marker" {
			return heard
		}
		heard = true
	}
}

func (w *world) hold(l *db.Listener) {
	w.Helper()
	devtest.Until(w, patience, "the gate", func() (bool, error) {
		held, err := l.Hold(w.Context())
		if errors.Is(err, job.ErrUnavailable) {
			return false, nil
		}
		return held, err
	})
}

const gateHolders = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1380928331 AND objid = 1
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

func TestListener_WokenByAnotherSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := listen(t, w.url)
	for range 3 {
		w.insert(1)
		woken(t, l, "an insert")
	}
	w.exec("INSERT INTO outbox.jobs (queue_name, run_at) VALUES ('mail', now() + interval '1 second')")
	woken(t, l, "a job that is due within two seconds")
}

// A job that is due later wakes nobody, nor does an insert that rolls back.
func TestListener_NotWoken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := ear(w)
	w.later(1, "1 hour")
	tx := w.begun()
	w.in(tx, "INSERT INTO outbox.jobs (queue_name) VALUES ('mail')")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx = w.begun()
	w.in(tx, "SET LOCAL outbox.wake = 'off'")
	w.in(tx, "INSERT INTO outbox.jobs (queue_name) VALUES ('mail')")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if hears(w, c) {
		t.Error("somebody notified")
	}
}

func TestListener_HoldMutesAndReleaseUnmutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, c := listen(t, w.url), ear(w)
	w.insert(1)
	if !hears(w, c) {
		t.Error("an insert with the gate open notified nobody")
	}
	for range 2 { // held already is held
		w.hold(l)
	}
	w.insert(1)
	w.reconcile(job.Snoozed, 0, w.claim(500).Refs()...) // ours are muted too
	if hears(w, c) {
		t.Error("an insert with the gate closed notified")
	}
	if _, err := l.Release(t.Context()); err != nil {
		t.Fatalf("Release: %v", err)
	}
	if n := get[int](w, gateHolders); n != 0 { // taken twice, it is given back at once
		t.Errorf("sessions that hold the gate after Release = %d, want none", n)
	}
	w.insert(1)
	if !hears(w, c) {
		t.Error("an insert after Release notified nobody")
	}
}

func TestListener_OnlyOneHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := listen(t, w.url), listen(t, w.url)
	w.hold(first)
	if held, err := second.Hold(t.Context()); err != nil || held {
		t.Errorf("Hold by a second = %t, %v, want false", held, err)
	}
	if _, err := second.Release(t.Context()); err != nil {
		t.Errorf("Release of what it does not hold: %v", err)
	}
	if n := get[int](w, gateHolders); n != 1 {
		t.Errorf("sessions that hold the gate = %d, want the first still", n)
	}
}

// A producer that saw the gate closed and is still open keeps the horizon from
// passing: its commit will wake nobody.
func TestListener_HorizonWaitsForWhoSawTheGateClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := listen(t, w.url)
	w.hold(l)
	tx := w.begun()
	w.in(tx, "INSERT INTO outbox.jobs (queue_name) VALUES ('mail')")
	reader := w.begun() // has no transaction id, and is waited for by nobody
	w.in(reader, "SELECT count(*) FROM outbox.jobs")

	passed, err := l.Release(t.Context())
	if err != nil {
		t.Fatalf("Release: %v", err)
	}
	for range 5 {
		if yes, err := passed(t.Context()); err != nil || yes {
			t.Fatalf("passed while the producer is open = %t, %v", yes, err)
		}
	}
	if b := w.claim(1); len(b.Jobs) != 0 {
		t.Errorf("Claim before its commit = %s", idsOf(b))
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "the horizon to pass", func() (bool, error) { return passed(t.Context()) })
	if b := w.claim(1); len(b.Jobs) != 1 {
		t.Errorf("Claim once the horizon has passed = %d jobs, want its", len(b.Jobs))
	}
}

// A session that Postgres ends comes back, and wakes: something may have been
// missed. The gate went with it.
func TestListener_SessionKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, c := listen(t, w.url), ear(w)
	for range 2 {
		w.hold(l)
		w.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rookery listener'")
		w.until("the gate to be free", "SELECT ("+gateHolders+") = 0")
		w.insert(1)
		if !hears(w, c) {
			t.Error("an insert after the holder's end notified nobody")
		}
		woken(t, l, "the session that was made anew")
	}
	w.hold(l)
}

// A relay that is frozen, or cut off, loses the gate instead of muting everybody:
// Postgres ends a session that is silent for three seconds.
func TestListener_FrozenLosesTheGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	cord := newCord(t, u.Host)
	u.Host = cord.addr()
	l, c := listen(t, u.String()), ear(w)
	w.hold(l)
	cord.freeze()
	w.until("the gate to be free", "SELECT ("+gateHolders+") = 0")
	w.insert(1)
	if !hears(w, c) {
		t.Error("an insert after the holder froze notified nobody")
	}
	cord.thaw()
	w.hold(l)
}

func TestListener_OrdersWithoutASession(t *testing.T) {
	t.Parallel()
	l, err := db.NewListener("postgres://nobody@127.0.0.1:1/none", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("NewListener: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	if held, err := l.Hold(t.Context()); held || !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Hold = %t, %v, want ErrUnavailable", held, err)
	}
	if _, err := l.Release(t.Context()); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Release = %v, want ErrUnavailable", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}
