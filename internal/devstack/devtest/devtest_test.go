package devtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestPostgres_IsMigratedAndPrivate(t *testing.T) {
	t.Parallel()
	first, second := devtest.Postgres(t), devtest.Postgres(t)
	if got := count(t, first, "INSERT INTO outbox.jobs DEFAULT VALUES RETURNING id"); got != 1 {
		t.Errorf("first id = %d, want 1", got)
	}
	if got := count(t, second, "SELECT count(*) FROM outbox.jobs"); got != 0 {
		t.Errorf("jobs in the second database = %d, want 0", got)
	}
}

func TestPostgres_IsDroppedWithItsConnections(t *testing.T) {
	t.Parallel()
	var conn *pgx.Conn
	t.Run("inner", func(t *testing.T) { conn = connect(t, devtest.Postgres(t)) })
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the connection outlived the test's database")
	}
}

func TestEmptyPostgres_HasNoMigrations(t *testing.T) {
	t.Parallel()
	got := count(t, devtest.EmptyPostgres(t), "SELECT count(*) FROM pg_namespace WHERE nspname = 'outbox'")
	if got != 0 {
		t.Errorf("schemas called outbox = %d, want 0", got)
	}
}

func TestPostgresServer_TakesSettings(t *testing.T) {
	t.Parallel()
	server := devtest.PostgresServer(t, map[string]string{"wal_level": "logical", "fsync": "on"})
	url := server.URL("postgres")
	devtest.Migrate(t, url)
	got := count(t, url, `SELECT count(*) FROM pg_settings
		WHERE (name, setting) IN (('wal_level', 'logical'), ('fsync', 'on'), ('synchronous_commit', 'on'), ('listen_addresses', '127.0.0.1'))`)
	if got != 4 {
		t.Errorf("settings as wanted = %d, want 4", got)
	}
}

func TestRedis_IsPrivate(t *testing.T) {
	t.Parallel()
	if first, second := devtest.Redis(t), devtest.Redis(t); first == second {
		t.Errorf("two tests share %s", first)
	}
	server := devtest.RedisServer(t, "--maxmemory", "3mb")
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	for name, want := range map[string]string{"maxmemory": "3145728", "maxmemory-policy": "noeviction", "save": "", "bind": "127.0.0.1"} {
		if got := client.ConfigGet(t.Context(), name).Val()[name]; got != want {
			t.Errorf("CONFIG GET %s = %q, want %q", name, got, want)
		}
	}
}

func TestRedisCluster_IsShared(t *testing.T) {
	t.Parallel()
	first, second := devtest.RedisCluster(t), devtest.RedisCluster(t)
	if len(first) != 3 || first[0] != second[0] {
		t.Errorf("RedisCluster() = %v, then %v, want the same three", first, second)
	}
}

func TestUntil_AsksAgain(t *testing.T) {
	t.Parallel()
	asked := 0
	devtest.Until(t, time.Minute, "the third time", func() (bool, error) {
		asked++
		return asked == 3, nil
	})
	if asked != 3 {
		t.Errorf("asked %d times, want 3", asked)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func count(t *testing.T, url, query string) int {
	t.Helper()
	var n int
	if err := connect(t, url).QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
