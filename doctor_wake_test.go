package rookery_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Each thing that tailing the WAL takes is named when it is missing, with what to
// type, and not when it is there.
func TestDoctor_Wake(t *testing.T) {
	t.Parallel()
	logical := devtest.PostgresServer(t, map[string]string{"wal_level": "logical", "max_replication_slots": "1"}).URL("postgres")
	replica := devtest.PostgresServer(t, map[string]string{"wal_level": "replica", "max_wal_senders": "0"}).URL("postgres")
	devtest.Migrate(t, logical)
	devtest.Migrate(t, replica)
	redis := devtest.Redis(t)
	exec := func(sql string) {
		t.Helper()
		c, err := pgx.Connect(t.Context(), logical)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(t.Context()) }()
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	said := func(database, wake string, parts ...string) string {
		var all strings.Builder
		for _, f := range rookery.Doctor(t.Context(), rookery.Config{DatabaseURL: database, RedisURL: redis, Wake: wake}, parts...) {
			if f.Subject != "wake" {
				continue
			}
			if !f.Warning {
				t.Errorf("%s is a problem: relays work by NOTIFY", f.Problem)
			}
			all.WriteString(f.Problem + ": " + f.Remedy + "\n")
		}
		return all.String()
	}
	login := devtest.Login(t, logical, "rookery_server")
	u, err := url.Parse(login)
	if err != nil {
		t.Fatal(err)
	}
	user := u.User.Username()
	const cost = "every UPDATE logs its whole row"
	wants := func(what, got string, wants ...string) {
		t.Helper()
		if n := strings.Count(got, "\n"); n != len(wants) {
			t.Errorf("doctor, %s, has %d findings, want %d:\n%s", what, n, len(wants), got)
		}
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("doctor, %s, does not say %q:\n%s", what, want, got)
			}
		}
	}
	wants("notify", said(login, "notify"))
	wants("the default", said(login, ""))
	wants("a worker", said(login, "wal", "worker"))
	wants("a superuser", said(logical, "wal"), cost)
	wants("wal_level and senders", said(replica, "wal", "relay"),
		"ALTER SYSTEM SET wal_level = logical", "ALTER SYSTEM SET max_wal_senders = 4")
	wants("a user without REPLICATION", said(login, "wal", "serve"), cost, "ALTER ROLE "+user+" REPLICATION")
	exec("ALTER ROLE " + user + " REPLICATION")
	wants("a user with REPLICATION", said(login, "wal"), cost)
	exec("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')")
	exec("DROP PUBLICATION outbox_wake")
	wants("no slot, no publication", said(login, "wal"), cost,
		"as the owner of database postgres: CREATE PUBLICATION outbox_wake", "pg_drop_replication_slot")
	exec("SELECT pg_drop_replication_slot('theirs')")
	exec("SELECT pg_create_logical_replication_slot('rookery_wake_0', 'pgoutput')")
	exec("CREATE PUBLICATION outbox_wake")
	wants("the slot is a relay's", said(login, "wal"), cost)
}
