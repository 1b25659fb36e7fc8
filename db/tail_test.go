package db_test

import (
	"strings"
	"testing"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func TestTail_MessagesWakeASleepingRelayAndNobodyNotifies(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	slot := w.witness()
	tail := w.tail(w.url)
	w.keys("1+2")
	c := ear(w.world) // not before: a listener begins with a notification to itself
	tail.drain()
	for range 3 {
		w.insert(1)
		tail.woken("a message")
	}
	if hears(w.world, c) {
		t.Error("somebody notified a relay that tails")
	}
	if n := w.messages(slot); n != 3 {
		t.Errorf("messages of three inserts = %d", n)
	}

	// Hot: it polls, and producers do nothing for it.
	held, err := tail.Hold(t.Context())
	if err != nil || !held {
		t.Fatalf("Hold = %t, %v", held, err)
	}
	w.keys("1")
	w.insert(1)
	w.reconcile(job.Snoozed, 0, w.claim(500).Refs()...) // ours are muted too
	if n := w.messages(slot); n != 0 || hears(w.world, c) {
		t.Errorf("messages to a relay that polls = %d, and notifications", n)
	}

	// Asleep again.
	passed, err := tail.Release(t.Context())
	if err != nil {
		t.Fatalf("Release: %v", err)
	}
	w.keys("1+2")
	devtest.Until(t, patience, "the horizon", func() (bool, error) { return passed(t.Context()) })
	tail.drain()
	w.insert(1)
	tail.woken("a message after Release")
	if n := w.messages(slot); n != 1 || hears(w.world, c) {
		t.Errorf("messages of one insert = %d, and notifications", n)
	}
}

// Nobody tails: no message, whether the gate is open or closed.
func TestTail_NoMessagesWithoutATail(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	slot := w.witness()
	l := listen(t, w.url)
	c := ear(w.world)
	w.insert(1)
	if !hears(w.world, c) {
		t.Error("an insert with the gate open notified nobody")
	}
	w.hold(l)
	w.insert(1)
	if n := w.messages(slot); n != 0 || hears(w.world, c) {
		t.Errorf("messages to nobody = %d, and notifications", n)
	}
}

// What rolls back, or says so itself, wakes nobody; a message of another program
// does not either.
func TestTail_NotWoken(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.keys("1+2")
	tail.drain()
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
	w.exec("SELECT pg_logical_emit_message(true, 'theirs', 'outbox')")
	w.read()
	select {
	case <-tail.Woken():
		t.Error("woken")
	default:
	}
	w.insert(1)
	tail.woken("the insert after them")
}

// A producer that saw the gate closed and nobody tailing keeps the horizon from
// passing, here as there.
func TestTail_HorizonWaitsForWhoWasSilent(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.keys("1+2")
	if held, err := tail.Hold(t.Context()); err != nil || !held {
		t.Fatalf("Hold = %t, %v", held, err)
	}
	tx := w.begun()
	w.in(tx, "INSERT INTO outbox.jobs (queue_name) VALUES ('mail')")
	passed, err := tail.Release(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if yes, err := passed(t.Context()); err != nil || yes {
			t.Fatalf("passed while the producer is open = %t, %v", yes, err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "the horizon", func() (bool, error) { return passed(t.Context()) })
}

// The slot waits for every writer: NOTIFY works meanwhile, and the gate stays open.
func TestTail_SlotWaitsForWriters(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tx := w.begun()
	w.in(tx, "INSERT INTO outbox.jobs (queue_name) VALUES ('other')")
	w.exec("ALTER ROLE postgres SET lock_timeout = '50ms'") // as doctor wants it behind a pooler
	tail := w.tail(w.url)
	w.until("the slot's creation", `SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name LIKE 'rookery%' AND confirmed_flush_lsn IS NULL`)
	tail.woken("the listener's first session")
	for range 3 {
		w.notified(tail, "while the slot is being made")
	}
	tail.hotAndBack()
	if got := get[string](w.world, walKeys); got != "" {
		t.Errorf("locks before the slot is there = %q", got)
	}
	w.until("an attempt that goes on", `SELECT count(*) = 1 FROM pg_stat_activity
		WHERE application_name = 'rookery tail' AND clock_timestamp() - backend_start > interval '1 second'`)
	// Called off, it goes at once, and not when the writer has ended.
	tail.stop()
	w.until("no slot", "SELECT ("+ourSlots+") = 0")

	again := w.tail(w.url)
	w.until("the slot's creation", "SELECT ("+ourSlots+") = 1")
	again.drain()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.keys("1+2")
	w.insert(1)
	again.woken("a message, once the writer had ended")
	if n := get[int](w.world, ourSlots); n != 1 {
		t.Errorf("slots = %d, want 1", n)
	}
}

// A message is read before its transaction is visible, when a standby must have it
// first: the relay is woken when there is something to claim, and not before.
func TestTail_WakesWhenTheRowsAreVisible(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.keys("1+2")
	w.exec("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	w.exec("SELECT pg_reload_conf()")
	w.until("the setting", "SELECT current_setting('synchronous_standby_names') = 'nobody'")
	w.exec("CHECKPOINT") // it is the checkpointer that has commits wait, once it has read the setting too
	tail.drain()
	inserted := make(chan error, 1)
	go func() {
		_, err := w.side.Exec(w.Context(), "INSERT INTO outbox.jobs (queue_name) VALUES ('mail')")
		inserted <- err
	}()
	w.until("the commit to wait", "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	w.read()
	if n := get[int](w.world, "SELECT count(*) FROM outbox.jobs"); n != 0 {
		t.Fatalf("jobs that are visible = %d, want none", n)
	}
	select {
	case <-tail.Woken():
		t.Error("woken before there is something to claim")
	default:
	}
	w.exec("ALTER SYSTEM SET synchronous_standby_names = ''")
	w.exec("SELECT pg_reload_conf()")
	if err := <-inserted; err != nil {
		t.Fatal(err)
	}
	tail.woken("a transaction that is visible now")
	if b := w.claim(1); len(b.Jobs) != 1 {
		t.Errorf("Claim when woken = %d jobs, want 1", len(b.Jobs))
	}
}

// While a relay tails, a producer may PREPARE what it inserted: it sends a message,
// which a prepared transaction may carry.
func TestTail_TwoPhaseCommit(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	prepare := func(name string) error {
		tx := w.begun()
		w.in(tx, "INSERT INTO outbox.jobs (queue_name) VALUES ('mail')")
		_, err := tx.Exec(t.Context(), "PREPARE TRANSACTION '"+name+"'")
		_ = tx.Rollback(t.Context())
		return err
	}
	if err := prepare("notified"); err == nil || !strings.Contains(err.Error(), "NOTIFY") {
		t.Errorf("PREPARE with the gate open = %v, want a refusal: then this test shows nothing", err)
	}
	tail := w.tail(w.url)
	w.keys("1+2")
	if err := prepare("told"); err != nil {
		t.Fatalf("PREPARE while the WAL is tailed: %v", err)
	}
	tail.drain()
	w.exec("COMMIT PREPARED 'told'")
	tail.woken("a prepared transaction's commit")
	if b := w.claim(1); len(b.Jobs) != 1 {
		t.Errorf("Claim when woken = %d jobs, want 1", len(b.Jobs))
	}
}

// The WAL has the last 32 bits of a transaction's id.
func TestWiden(t *testing.T) {
	t.Parallel()
	const epoch = uint64(1) << 32
	for _, c := range []struct {
		near uint64
		xid  uint32
		want uint64
	}{
		{1000, 1000, 1000}, {1000, 1001, 1001}, {1000, 999, 999},
		{epoch + 5, 3, epoch + 3},
		{epoch + 5, 0xfffffffe, epoch - 2},     // begun before the ids went round
		{3*epoch - 1, 0xffffffff, 3*epoch - 1}, // the last of its epoch
		{3*epoch - 1, 7, 3*epoch + 7},          // gone round since
	} {
		if got := db.Widen(c.near, c.xid); got != c.want {
			t.Errorf("widen(%d, %d) = %d, want %d", c.near, c.xid, got, c.want)
		}
	}
}
