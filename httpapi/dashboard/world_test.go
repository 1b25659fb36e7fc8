package dashboard_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/httpapi"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// patience bounds every wait. Nothing is concluded from how long one took.
const patience = 2 * time.Minute

const (
	key      = "a-key-of-the-tests-0001"
	otherKey = "a-key-of-the-tests-0002"
)

// world is the API with its dashboard on a Postgres and a Redis of the test's own,
// without relay and workers, so that nothing moves by itself.
type world struct {
	*testing.T
	svc     *rookery.Service
	api     *httpapi.Server
	handler http.Handler
	sql     *pgxpool.Pool
	url     string // of Postgres
	cookies []*http.Cookie
}

func newWorld(t *testing.T, change func(*rookery.Config)) *world {
	t.Helper()
	c := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t), Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	svc, err := rookery.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	api, err := svc.API(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &world{T: t, svc: svc, api: api, handler: api.Handler(), sql: pool, url: c.DatabaseURL}
}

// answer is what came back.
type answer struct {
	*http.Response
	body string
}

func (w *world) do(r *http.Request) answer {
	w.Helper()
	r.Host = "localhost:8080"
	for _, c := range w.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	res := rec.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		w.Fatal(err)
	}
	return answer{res, string(body)}
}

func (w *world) get(target string) answer {
	w.Helper()
	return w.do(httptest.NewRequest(http.MethodGet, target, nil))
}

// page gets what must be a page.
func (w *world) page(target string) answer {
	w.Helper()
	a := w.get(target)
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, "</html>") {
		w.Fatalf("GET %s = %d, want a page:\n%s", target, a.StatusCode, a.body)
	}
	return a
}

func (w *world) post(target string, form url.Values) answer {
	w.Helper()
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.do(r)
}

// acts posts what must be done, and returns where it leads.
func (w *world) acts(target string, form url.Values) string {
	w.Helper()
	a := w.post(target, form)
	if a.StatusCode != http.StatusSeeOther {
		w.Fatalf("POST %s = %d, want a redirect:\n%s", target, a.StatusCode, a.body)
	}
	return a.Header.Get("Location")
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.sql.Exec(context.Background(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func value[V any](w *world, sql string, args ...any) V {
	w.Helper()
	var v V
	if err := w.sql.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return v
}

// insert makes a job and returns its id.
func (w *world) insert(queue, kind string) int64 {
	w.Helper()
	id := value[int64](w, `SELECT outbox.enqueue($1, '{"to": "secret@example.com", "n": 12345678901234567890}', queue_name => $2)`, kind, queue)
	w.exec(`INSERT INTO outbox.queues (name) VALUES ($1) ON CONFLICT DO NOTHING`, queue)
	return id
}

// kill makes a job dead, as a worker's report would.
func (w *world) kill(id int64, message string) {
	w.Helper()
	w.exec(`WITH gone AS (DELETE FROM outbox.ready WHERE job_id = $1),
		dead AS (
			UPDATE outbox.jobs SET status = 'dead', finished_at = now(), attempt_count = 1, failure_count = 1, max_attempts = 1, last_error = $2::text, worker_id = 'worker-1'
			WHERE id = $1 RETURNING id, queue_name, kind, worker_id
		),
		tried AS (
			INSERT INTO outbox.attempts (job_id, attempt_count, worker_id, started_at, outcome, error)
			SELECT id, 1, worker_id, now() - interval '2 seconds', 'exhaust', jsonb_build_object('message', $2::text, 'stack', 'goroutine 1 ' || $2::text) FROM dead
		)
		INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) SELECT id, queue_name, kind, 'exhausted' FROM dead`, id, message)
}
