package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/outbox"
)

// patience bounds every wait. Nothing is concluded from how long one took.
const patience = 2 * time.Minute

// A relay that is awake holds this lock.
const gate = "1380928331, 1"

// heard returns how many notifications have come, by sending one of its own behind
// them: Postgres delivers them in the order of the commits.
func heard(t *testing.T, listener, sender *pgx.Conn) int {
	t.Helper()
	mustExec(t, sender, "NOTIFY outbox, 'last'")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 0; ; n++ {
		note, err := listener.WaitForNotification(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if note.Payload == "last" {
			return n
		}
	}
}

func TestWake_OncePerTransaction(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, listener, relay := connect(t, url), connect(t, url), connect(t, url)
	mustExec(t, listener, "LISTEN outbox")
	insert := func(o outbox.Options) func(pgx.Tx) error {
		return func(tx pgx.Tx) error {
			_, err := outbox.Insert(t.Context(), tx, mail{}, o)
			return err
		}
	}
	undo := errors.New("undo")
	tests := []struct {
		name string
		do   func(pgx.Tx) error
		want int
	}{
		{"due", insert(outbox.Options{}), 1},
		{"past", insert(outbox.Options{RunAt: time.Unix(0, 0)}), 1},
		{"within two seconds", insert(outbox.Options{Delay: 2 * time.Second}), 1},
		{"after two seconds", insert(outbox.Options{Delay: 2*time.Second + time.Microsecond}), 0},
		{"three statements", func(tx pgx.Tx) error {
			return errors.Join(insert(outbox.Options{})(tx), insert(outbox.Options{})(tx), insert(outbox.Options{Delay: time.Second})(tx))
		}, 1},
		{"a copy", func(tx pgx.Tx) error {
			_, err := outbox.InsertMany(t.Context(), tx, []outbox.Item{{Args: mail{}}, {Args: mail{}, Options: outbox.Options{Delay: time.Hour}}})
			return err
		}, 1},
		{"rolled back", func(tx pgx.Tx) error { return errors.Join(insert(outbox.Options{})(tx), undo) }, 0},
		{"savepoint rolled back", func(tx pgx.Tx) error {
			inner, err := tx.Begin(t.Context())
			if err != nil {
				return err
			}
			return errors.Join(insert(outbox.Options{})(inner), inner.Rollback(t.Context()))
		}, 0},
		{"switched off", func(tx pgx.Tx) error {
			mustExec(t, tx, "SET LOCAL outbox.wake = 'off'")
			return insert(outbox.Options{})(tx)
		}, 0},
		{"the last of many", func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO outbox.jobs (run_at) SELECT now() + n * interval '1 second' FROM generate_series(9, 1, -1) AS n")
			return err
		}, 1},
		{"many, none within two seconds", func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO outbox.jobs (run_at) SELECT now() + n * interval '1 second' FROM generate_series(9, 3, -1) AS n")
			return err
		}, 0},
		{"behind one that is not queued", func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO outbox.jobs (status, run_at) VALUES ('completed', now()), ('queued', now() + interval '1 second')")
			return err
		}, 1},
		{"not queued", func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO outbox.jobs (status, run_at) VALUES ('completed', now()), ('dispatched', now() + interval '1 second')")
			return err
		}, 0},
		{"no row", func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO outbox.jobs (kind) SELECT 'x' WHERE false")
			return err
		}, 0},
	}
	for _, relayAwake := range []bool{false, true} {
		if relayAwake {
			mustExec(t, relay, "SELECT pg_advisory_lock("+gate+")")
		}
		for _, test := range tests {
			if err := pgx.BeginFunc(t.Context(), conn, test.do); err != nil && !errors.Is(err, undo) {
				t.Fatalf("%s: %v", test.name, err)
			}
			want := test.want
			if relayAwake {
				want = 0
			}
			if got := heard(t, listener, conn); got != want {
				t.Errorf("%s, relay awake %v: %d notifications, want %d", test.name, relayAwake, got, want)
			}
		}
	}
}

func TestWake_CancelAndRedrive(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, listener := connect(t, url), connect(t, url)
	mustExec(t, listener, "LISTEN outbox")
	id := jobIn(t, conn, "running")
	if got := heard(t, listener, conn); got != 1 {
		t.Errorf("insert: %d notifications, want 1", got)
	}
	for _, change := range []func(context.Context, outbox.DB, int64) (bool, error){outbox.Cancel, outbox.Redrive} {
		if ok, err := change(t.Context(), conn, id); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if got := heard(t, listener, conn); got != 1 {
			t.Errorf("change: %d notifications, want 1", got)
		}
	}
}

// PROTOCOL hole 14: had the queue been registered by its first producer, these two
// would deadlock, and a third producer of the same queue would wait.
func TestHole14_ProducersOfNewQueuesNeverWait(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		var txs []pgx.Tx
		for range 2 {
			conn := connect(t, url)
			// Whoever waits for another of these waits for ever. A commit that notifies waits
			// for those of other databases, which end by themselves.
			mustExec(t, conn, "SET lock_timeout = '10s'")
			tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			if err != nil {
				t.Fatal(err)
			}
			txs = append(txs, tx)
		}
		insert := func(tx pgx.Tx, queue string) {
			t.Helper()
			if _, err := outbox.Insert(t.Context(), tx, mail{}, outbox.Options{QueueName: queue}); err != nil {
				t.Errorf("%s: insert into %s: %v", level, queue, err)
			}
		}
		a, b := "a"+string(level[0]), "b"+string(level[0])
		insert(txs[0], a)
		insert(txs[1], b)
		insert(txs[0], b)
		insert(txs[1], a)
		for _, tx := range txs {
			if err := tx.Commit(t.Context()); err != nil {
				t.Errorf("%s: commit: %v", level, err)
			}
		}
	}
	wantOne(t, connect(t, url), 0, "SELECT count(*)::int4 FROM outbox.queues")
}

// PROTOCOL hole 15b: a producer's transaction that woke the relay and goes on for
// long must not keep the gate from being closed.
func TestHole15b_LongTransactionKeepsNoGate(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, other, listener, relay := connect(t, url), connect(t, url), connect(t, url), connect(t, url)
	mustExec(t, listener, "LISTEN outbox")
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outbox.Insert(t.Context(), tx, mail{}, outbox.Options{}); err != nil {
		t.Fatal(err)
	}
	wantOne(t, relay, true, "SELECT pg_try_advisory_lock("+gate+")")
	if _, err := outbox.Insert(t.Context(), other, mail{}, outbox.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, listener, other); got != 0 {
		t.Errorf("%d notifications while the relay is awake, want 0", got)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, listener, other); got != 1 {
		t.Errorf("%d notifications from the transaction that had asked before, want 1", got)
	}
}

// PROTOCOL hole 15c: a transaction that notified cannot be prepared.
func TestHole15c_TwoPhaseCommitWithWakeOff(t *testing.T) {
	t.Parallel()
	server := devtest.PostgresServer(t, map[string]string{"max_prepared_transactions": "10"})
	url := server.URL("postgres")
	devtest.Migrate(t, url)
	conn, listener, relay := connect(t, url), connect(t, url), connect(t, url)
	mustExec(t, listener, "LISTEN outbox")
	for _, test := range []struct {
		off, awake bool
		want       string
	}{{false, false, "0A000"}, {false, true, ""}, {true, false, ""}, {true, true, ""}} {
		if test.awake {
			mustExec(t, relay, "SELECT pg_advisory_lock("+gate+")")
		}
		mustExec(t, conn, "BEGIN")
		if test.off {
			mustExec(t, conn, "SET LOCAL outbox.wake = 'off'")
		}
		if _, err := outbox.Insert(t.Context(), conn, mail{}, outbox.Options{}); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Exec(t.Context(), "PREPARE TRANSACTION 'p'")
		if state(err) != test.want {
			t.Errorf("PREPARE with wake off %v, relay awake %v: %v, want SQLSTATE %q", test.off, test.awake, err, test.want)
		}
		if err == nil {
			wantOne(t, relay, 0, "SELECT count(*)::int4 FROM pg_locks WHERE locktype = 'advisory' AND pid IS NULL")
			mustExec(t, conn, "COMMIT PREPARED 'p'")
		} else {
			mustExec(t, conn, "ROLLBACK")
		}
		if got := heard(t, listener, conn); got != 0 {
			t.Errorf("wake off %v, relay awake %v: %d notifications, want 0", test.off, test.awake, got)
		}
		mustExec(t, relay, "SELECT pg_advisory_unlock_all()")
	}
	wantOne(t, conn, 3, "SELECT count(*)::int4 FROM outbox.ready")
}
