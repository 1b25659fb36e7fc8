package outbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// mail is the Args of most tests.
type mail struct {
	To string `json:"to"`
}

func (mail) Kind() string { return "mail" }

// raw is Args whose payload is whatever the test says.
type raw string

func (raw) Kind() string                   { return "raw" }
func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// Everything that an application may pass.
var (
	_ outbox.Copier = pgx.Tx(nil)
	_ outbox.Copier = (*pgx.Conn)(nil)
	_ outbox.Copier = (*pgxpool.Pool)(nil)
	_ outbox.Copier = (*pgxpool.Conn)(nil)
	_ outbox.SQL    = (*sql.Tx)(nil)
	_ outbox.SQL    = (*sql.DB)(nil)
	_ outbox.SQL    = (*sql.Conn)(nil)
)

func TestImports_NoRedisNoEchoNoGoose(t *testing.T) {
	t.Parallel()
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"github.com/penguinmails/rookery/job", "github.com/penguinmails/rookery/outbox",
		"github.com/jackc/pgx/v5", "github.com/jackc/pgpassfile", "github.com/jackc/pgservicefile",
		"go.opentelemetry.io/otel", "github.com/cespare/xxhash/v2", "golang.org/x/text",
	}
	for dep := range strings.FieldsSeq(string(list)) {
		first, _, _ := strings.Cut(dep, "/")
		ok := !strings.Contains(first, ".") || strings.HasPrefix(dep, "vendor/") // the standard library
		for _, a := range allowed {
			ok = ok || dep == a || strings.HasPrefix(dep, a+"/")
		}
		if strings.Contains(dep, "rookery/") && dep != allowed[0] && dep != allowed[1] {
			ok = false
		}
		if strings.Contains(dep, "crypto/internal/entropy/") {
			ok = true // a versioned part of the standard library
		}
		if !ok {
			t.Errorf("package outbox depends on %s", dep)
		}
	}
}

// connect opens a connection that the test closes at its end.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func open(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustExec(t testing.TB, db interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// one returns the single value that query gives.
func one[T any](t testing.TB, db outbox.DB, query string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func wantOne[T comparable](t testing.TB, db outbox.DB, want T, query string, args ...any) {
	t.Helper()
	if got := one[T](t, db, query, args...); got != want {
		t.Errorf("%s %v = %v, want %v", query, args, got, want)
	}
}

// wantField checks that err is a FieldError about field.
func wantField(t *testing.T, what string, err error, field string) {
	t.Helper()
	var f *job.FieldError
	if !errors.As(err, &f) || f.Field != field {
		t.Errorf("%s = %v, want a FieldError of %s", what, err, field)
	}
}

// state returns the SQLSTATE of err, or "".
func state(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// login makes a login role that is a member of group and returns a URL for it. Roles
// belong to the whole server, so its name holds the database's.
func login(t testing.TB, base, group string) string {
	t.Helper()
	conn := connect(t, base)
	name := group + "_" + one[string](t, conn, "SELECT current_database()")
	mustExec(t, conn, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'secret' IN ROLE %s", pgx.Identifier{name}.Sanitize(), group))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), base)
		if err != nil {
			t.Errorf("drop role: %v", err)
			return
		}
		defer func() { _ = conn.Close(context.Background()) }()
		role := pgx.Identifier{name}.Sanitize()
		if _, err := conn.Exec(context.Background(), "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role); err != nil {
			t.Errorf("drop role: %v", err)
		}
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, "secret")
	return u.String()
}

// stored reads back what producers wrote.
type stored struct {
	QueueName, Kind, Payload, Headers string
	Priority, MaxAttempts             int
	Status                            string
	Due                               bool
}

func read(t *testing.T, db outbox.DB, id int64) stored {
	t.Helper()
	var s stored
	err := db.QueryRow(t.Context(), `SELECT queue_name, kind, payload::text, coalesce(headers::text, ''), priority::int4, max_attempts::int4, status, run_at <= now()
		FROM outbox.jobs WHERE id = $1`, id).
		Scan(&s.QueueName, &s.Kind, &s.Payload, &s.Headers, &s.Priority, &s.MaxAttempts, &s.Status, &s.Due)
	if err != nil {
		t.Fatalf("read job %d: %v", id, err)
	}
	return s
}

func rawJSON(format string, args ...any) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(format, args...))
}
