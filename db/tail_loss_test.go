package db_test

import (
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// notified inserts, and wants the relay woken and somebody notified.
func (w walWorld) notified(tail tailing, why string) {
	w.Helper()
	c := ear(w.world)
	tail.drain()
	w.insert(1)
	tail.woken(why)
	if !hears(w.world, c) {
		w.Errorf("nobody notified: %s", why)
	}
}

// tailed inserts, and wants the relay woken and nobody notified.
func (w walWorld) tailed(tail tailing, why string) {
	w.Helper()
	w.keys("1+2")
	c := ear(w.world)
	tail.drain()
	w.insert(1)
	tail.woken(why)
	if hears(w.world, c) {
		w.Errorf("somebody notified: %s", why)
	}
}

// Whatever is missing, the relay is woken by NOTIFY; and by the WAL, by itself, once
// it is there.
func TestTail_FallsBackWhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, take, give string
		settings         map[string]string
	}{
		{"the publication is missing", "DROP PUBLICATION outbox_wake", "CREATE PUBLICATION outbox_wake", nil},
		{"the role has no REPLICATION", "SELECT 1", "ALTER ROLE tailer REPLICATION", nil},
		{"all slots are taken", "SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')", "SELECT pg_drop_replication_slot('theirs')", map[string]string{"max_replication_slots": "1"}},
		{"wal_level is replica", "SELECT 1", "", map[string]string{"wal_level": "replica"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWALWorld(t, c.settings)
			login := w.loginTo("tailer")
			if c.name != "the role has no REPLICATION" {
				w.exec("ALTER ROLE tailer REPLICATION")
			}
			w.exec(c.take)
			tail := w.tail(login)
			tail.woken("the listener's first session")
			devtest.Until(t, patience, "the fall-back", func() (bool, error) {
				return tail.metric("rookery_relay_wal_fallbacks_total") == 1, nil
			})
			w.notified(tail, c.name)
			tail.hotAndBack()
			if got := get[string](w.world, walKeys); got != "" {
				t.Errorf("locks = %q", got)
			}
			if c.give == "" {
				return
			}
			w.exec(c.give)
			w.tailed(tail, "it is there now")
			if n := tail.metric("rookery_relay_wal_fallbacks_total"); n != 1 {
				t.Errorf("fall-backs counted = %v, want the one", n)
			}
		})
	}
}

// spoken is a log's text, safe for concurrent use.
type spoken struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *spoken) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}

func (s *spoken) count(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), part)
}

// One line when it falls back, however often it tries, and one when it tails.
func TestTail_SaysSoOnce(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	w.exec("DROP PUBLICATION outbox_wake")
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	cord := newCord(t, u.Host)
	u.Host = cord.addr()
	var said spoken
	tail := w.tailSaying(u.String(), slog.New(slog.NewTextHandler(&said, nil)))
	devtest.Until(t, patience, "three tries, and the listener's two connections", func() (bool, error) { return cord.carried() > 5, nil })
	if n := said.count("level=WARN"); n != 1 || said.count("publication outbox_wake is missing") != 1 {
		t.Errorf("warnings of a publication that is missing = %d, want one: %s", n, said.text.String())
	}
	w.exec("CREATE PUBLICATION outbox_wake")
	w.tailed(tail, "it is there now")
	if n := said.count("level=INFO"); n != 1 || said.count("tailing the WAL") != 1 {
		t.Errorf("lines since = %d, want one: %s", n, said.text.String())
	}
	if n := tail.metric("rookery_relay_wal_fallbacks_total"); n != 1 {
		t.Errorf("fall-backs counted = %v, want the one", n)
	}
}

// The walsender is killed: NOTIFY is back, then the WAL is.
func TestTail_SessionKilled(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.tailed(tail, "the first session")
	for range 2 {
		// A writer keeps the next slot from being made.
		tx := w.begun()
		w.in(tx, "INSERT INTO outbox.jobs (queue_name) VALUES ('other')")
		tail.drain()
		w.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name LIKE 'rookery%'")
		w.keys("")
		tail.woken("the end of the tail: what was told to nobody is looked for")
		tail.until(false)
		w.notified(tail, "the walsender is dead")
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		tail.until(true)
		w.tailed(tail, "the next session")
		if n := get[int](w.world, ourSlots); n != 1 {
			t.Errorf("slots = %d, want 1", n)
		}
	}
	if n := tail.metric("rookery_relay_wal_fallbacks_total"); n != 2 {
		t.Errorf("fall-backs counted = %v, want 2", n)
	}
}

// The publication is dropped under a tail: Postgres notices when a row changes, and
// ends the stream.
func TestTail_PublicationDropped(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.tailed(tail, "before")
	w.exec("DROP PUBLICATION outbox_wake")
	w.insert(1)
	tail.until(false)
	w.keys("")
	w.notified(tail, "the publication is gone")
	w.exec("CREATE PUBLICATION outbox_wake")
	w.tailed(tail, "it is there again")
}

// A relay that sleeps for long keeps its sessions and its keys: what is asked of the
// listening session every second stands for its ping.
func TestTail_SleepsOn(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.keys("1+2")
	const session = `FROM pg_stat_activity WHERE application_name = 'rookery listener'`
	before := get[int](w.world, "SELECT pid "+session)
	w.until("a session that is five seconds old", "SELECT count(*) > 0 "+session+" AND clock_timestamp() - backend_start > interval '5 seconds'")
	if after := get[int](w.world, "SELECT pid "+session); after != before {
		t.Error("the listening session was made anew")
	}
	w.tailed(tail, "after a while")
	if n := tail.metric("rookery_relay_wal_fallbacks_total"); n != 0 {
		t.Errorf("fall-backs counted = %v", n)
	}
}

// The tail is lost while the relay is hot: producers stay silent, and notify when it
// falls asleep.
func TestTail_LostWhileHot(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.keys("1+2")
	if held, err := tail.Hold(t.Context()); err != nil || !held {
		t.Fatalf("Hold = %t, %v", held, err)
	}
	w.keys("1")
	tx := w.begun()
	w.in(tx, "INSERT INTO outbox.jobs (queue_name) VALUES ('other')")
	w.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name LIKE 'rookery%'")
	tail.until(false)
	w.keys("1")
	if _, err := tail.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.keys("")
	w.notified(tail, "asleep without a tail")
}

// The listening session is killed, and the locks with it: NOTIFY for a moment, then
// the locks are back, though the tail never broke.
func TestTail_ListenerKilled(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.tailed(tail, "the first session")
	before := get[int](w.world, "SELECT active_pid FROM pg_replication_slots WHERE slot_name LIKE 'rookery%'")
	w.exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'rookery listener'") // and waits for its end
	tail.woken("a new session")
	w.tailed(tail, "the new session")
	if after := get[int](w.world, "SELECT active_pid FROM pg_replication_slots WHERE slot_name LIKE 'rookery%'"); after != before {
		t.Errorf("the tail was begun anew")
	}
}

// A relay that is frozen, or cut off, mutes nobody and holds no WAL: Postgres ends
// both its sessions.
func TestTail_Frozen(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	cord := newCord(t, u.Host)
	u.Host = cord.addr()
	tail := w.tail(u.String())
	w.tailed(tail, "before")
	c := ear(w.world)
	cord.freeze()
	w.keys("")
	w.insert(1)
	if !hears(w.world, c) {
		t.Error("nobody notified after the relay froze")
	}
	w.until("no slot", "SELECT ("+ourSlots+") = 0")
	cord.thaw()
	w.tailed(tail, "thawed")
}

// A server that hangs is left, and tailed again when it goes on.
func TestTail_FrozenServer(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tail := w.tail(w.url)
	w.tailed(tail, "before")
	const sessions = `SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity WHERE application_name LIKE 'rookery %'`
	before := get[[]int32](w.world, sessions)
	if err := w.server.Freeze(); err != nil {
		t.Fatal(err)
	}
	tail.until(false)
	if err := w.server.Thaw(); err != nil {
		t.Fatal(err)
	}
	w.until("new sessions", "SELECT cardinality(a.pids) = 2 AND NOT a.pids && $1::int[] FROM ("+sessions+") AS a (pids)", before)
	w.tailed(tail, "after")
	w.until("the one slot", "SELECT ("+ourSlots+") = 1")
}

// No slot is left behind, whether the relay ends or is killed; and it holds back no
// WAL while it lives, though nobody inserts.
func TestTail_LeavesNoSlot(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	cord := newCord(t, u.Host)
	u.Host = cord.addr()
	w.tail(u.String())
	w.keys("1+2")
	w.exec("CREATE TABLE theirs AS SELECT generate_series(1, 1000) AS n") // WAL of others
	w.read()
	cord.cut() // as a kill does, its connections are closed, and nothing is said
	w.until("no slot", "SELECT ("+ourSlots+") = 0")
	w.keys("")

	tail := w.tail(w.url)
	w.keys("1+2")
	tail.stop()
	w.until("no slot after Run", "SELECT ("+ourSlots+") = 0")
	w.keys("")
}

// Two relays: both are woken, one has the keys, and the other takes them over.
func TestTail_Two(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	first := w.tail(w.url)
	w.keys("1+2")
	second := w.tail(w.url)
	second.until(true)
	second.woken("its first session")
	w.tailed(first, "a message")
	second.woken("the same message")
	if held, err := second.Hold(t.Context()); err != nil || held {
		t.Errorf("Hold by the second = %t, %v, want false", held, err)
	}
	if _, err := second.Release(t.Context()); err != nil {
		t.Errorf("Release by the second: %v", err)
	}
	w.tailed(first, "a message, after the second's Release")
	first.stop()
	w.until("the first's sessions to end", "SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name LIKE 'rookery %'")
	w.tailed(second, "the second's own")
}

// Somebody has the second lock: who sleeps behind a closed gate would not be told in
// its words, so it opens the gate.
func TestTail_StrangerHasTheSecondLock(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	tx := w.begun()
	w.in(tx, "SELECT pg_advisory_xact_lock(1380928331, 2)")
	tail := w.tail(w.url)
	tail.until(true)
	tail.woken("the listener's first session")
	tail.hotAndBack()
	if got := get[string](w.world, walKeys); got != "2" {
		t.Errorf("locks = %q, want the stranger's", got)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.tailed(tail, "the stranger is gone")
}

// A relay that listens beside one that tails holds the gate when it can, and then
// nobody is told; the one that tails asks again, and has it in the end.
func TestTail_BesideAListener(t *testing.T) {
	t.Parallel()
	w := newWALWorld(t, nil)
	l := listen(t, w.url)
	w.hold(l)
	tail := w.tail(w.url)
	tail.until(true)
	if held, err := tail.Hold(t.Context()); err != nil || held {
		t.Errorf("Hold while another is awake = %t, %v, want false", held, err)
	}
	if _, err := tail.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
	w.keys("1")
	if _, err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.tailed(tail, "the listener sleeps")
	if held, err := l.Hold(t.Context()); err != nil || held {
		t.Errorf("the listener's Hold = %t, %v, want false", held, err)
	}
}
