package db_test

import (
	"context"
	"log/slog"
	"net/url"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// walWorld is a world on a server of its own, whose WAL can be tailed: slots belong
// to the whole server, and the creation of one waits for all its writers.
type walWorld struct {
	*world
	server *devstack.Postgres
}

func newWALWorld(t *testing.T, settings map[string]string) walWorld {
	t.Helper()
	all := map[string]string{"wal_level": "logical", "max_prepared_transactions": "4"}
	for name, value := range settings {
		all[name] = value
	}
	server := devtest.PostgresServer(t, all)
	devtest.Migrate(t, server.URL("postgres"))
	return walWorld{world: worldAt(t, server.URL("postgres")), server: server}
}

// tailing is a Tail that runs until the test ends, or stop is called.
type tailing struct {
	*db.Tail
	w        walWorld
	registry *prometheus.Registry
	stop     func()
}

// tail runs a Tail on url; it may not have begun to tail when tail returns.
func (w walWorld) tail(url string) tailing {
	w.Helper()
	return w.tailSaying(url, slog.New(slog.DiscardHandler))
}

// tailSaying is tail with a log.
func (w walWorld) tailSaying(url string, log *slog.Logger) tailing {
	w.Helper()
	registry := prometheus.NewRegistry()
	tail, err := db.NewTail(url, db.TailOptions{Logger: log, Registerer: registry})
	if err != nil {
		w.Fatalf("NewTail: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tail.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("Run: %v", err)
		}
	}
	w.Cleanup(stop)
	return tailing{Tail: tail, w: w, registry: registry, stop: stop}
}

// metric reads one of the Tail's two.
func (t tailing) metric(name string) float64 {
	t.w.Helper()
	families, err := t.registry.Gather()
	if err != nil {
		t.w.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.w.Fatalf("no metric %s", name)
	return 0
}

// until waits until the Tail tails, or does not.
func (t tailing) until(tails bool) {
	t.w.Helper()
	devtest.Until(t.w, patience, "the tail", func() (bool, error) {
		return (t.metric("rookery_relay_wal_tailing") == 1) == tails, nil
	})
}

// woken waits until the relay is woken.
func (t tailing) woken(why string) {
	t.w.Helper()
	wokenBy(t.w.T, t.Woken(), why)
}

const (
	walKeys = `SELECT coalesce(string_agg(objid::text, '+' ORDER BY objid), '') FROM pg_locks
		WHERE locktype = 'advisory' AND classid = 1380928331 AND mode = 'ExclusiveLock'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	ourSlots = `SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'rookery%'`
)

// keys waits until these locks are held: "" none, "1" muted, "1+2" messages.
func (w walWorld) keys(want string) {
	w.Helper()
	w.until("the locks "+want, "SELECT ("+walKeys+") = $1", want)
}

// messages counts what producers have sent into the WAL since.
func (w walWorld) messages(since string) int {
	w.Helper()
	// The test's own look at the WAL is a slot of its own, made before.
	return get[int](w.world, `SELECT count(*) FROM pg_logical_slot_get_changes($1, NULL, NULL) WHERE data LIKE 'message:%prefix: outbox,%'`, since)
}

// witness makes a slot by which messages can be counted.
func (w walWorld) witness() string {
	w.Helper()
	w.exec(`SELECT pg_create_logical_replication_slot('witness', 'test_decoding')`)
	return "witness"
}

// read waits until the tail has read, and said so, all there is.
func (w walWorld) read() {
	w.Helper()
	end := get[string](w.world, "SELECT pg_current_wal_insert_lsn()::text")
	w.until("the tail's report", "SELECT coalesce((SELECT flush_lsn >= $1::pg_lsn FROM pg_stat_replication WHERE application_name = 'rookery tail'), false)", end)
}

// hotAndBack has the relay go hot and fall asleep: then it has the locks it wants.
func (t tailing) hotAndBack() {
	t.w.Helper()
	if held, err := t.Hold(t.w.Context()); err != nil || !held {
		t.w.Fatalf("Hold = %t, %v", held, err)
	}
	if _, err := t.Release(t.w.Context()); err != nil {
		t.w.Fatalf("Release: %v", err)
	}
}

func (t tailing) drain() {
	for {
		select {
		case <-t.Woken():
		default:
			return
		}
	}
}

// loginTo makes a login without REPLICATION.
func (w walWorld) loginTo(name string) string {
	w.Helper()
	w.exec("CREATE ROLE " + name + " LOGIN IN ROLE rookery_relay")
	u, err := url.Parse(w.url)
	if err != nil {
		w.Fatal(err)
	}
	u.User = url.User(name)
	return u.String()
}
