package e2e

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/internal/devstack"
)

// roleSettings are what docs/pgbouncer.md has set on the logins: PgBouncer does not
// let our startup parameters pass.
var roleSettings = []string{
	"plan_cache_mode = force_generic_plan", "enable_seqscan = off", "enable_bitmapscan = off", "enable_hashjoin = off",
	"enable_mergejoin = off", "enable_material = off", "enable_memoize = off", "jit = off",
	"lock_timeout = '1s'", "statement_timeout = '10s'", "synchronous_commit = on", "default_transaction_isolation = 'read committed'",
}

// With PgBouncer in transaction mode between everybody and Postgres, but for the
// relay's LISTEN, jobs come in by SQL and by HTTP, run, and can be looked at.
func TestPooler_TransactionMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	if err := devstack.InstallTools(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
	users := []string{userOf(t, w.url)}
	for _, login := range w.logins {
		users = append(users, userOf(t, login))
	}
	for _, command := range []string{"serve", "worker"} {
		for _, setting := range roleSettings {
			w.exec("ALTER ROLE " + userOf(t, w.as(rolesOf(command)...)) + " SET " + setting)
		}
	}
	at, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	pooler, err := devstack.StartPooler(t.Context(), at.Host, users...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pooler.Stop() })
	through := func(direct string) string { return strings.Replace(direct, at.Host, pooler.Addr(), 1) }

	direct := w.as(rolesOf("serve")...)
	serve, base := w.serve("DATABASE_URL="+through(direct), "DATABASE_LISTEN_URL="+direct)
	worker := w.worker(20, "DATABASE_URL="+through(w.as(rolesOf("worker")...)))

	// Two clients at a time share server connections: what is prepared on one is not
	// there on the other.
	var posting sync.WaitGroup
	for range 8 {
		posting.Go(func() {
			for range 10 {
				status, text := call(t, http.MethodPost, base+"/v1/jobs", `{"queue_name": "`+queue+`"}`)
				if status != http.StatusCreated {
					t.Errorf("POST through the pooler = %d: %s", status, text)
				}
			}
		})
	}
	producers, err := pgxpool.ParseConfig(through(w.as("rookery_producer")))
	if err != nil {
		t.Fatal(err)
	}
	producers.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // as docs/pgbouncer.md has it
	pool, err := pgxpool.NewWithConfig(t.Context(), producers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for range 20 {
		if _, err := pool.Exec(t.Context(), `SELECT outbox.enqueue(queue_name => $1)`, queue); err != nil {
			t.Errorf("enqueue through the pooler: %v", err)
		}
	}
	posting.Wait()
	w.until(patience, "100 jobs to be completed", `SELECT count(*) = 100 FROM outbox.jobs WHERE status = 'completed'`)

	status, text := call(t, http.MethodGet, base+"/v1/queues", "")
	if status != http.StatusOK || !strings.Contains(text, queue) {
		t.Errorf("GET /v1/queues through the pooler = %d: %s", status, text)
	}
	code, stdout, stderr := run(t, w.env("doctor", "DATABASE_URL="+through(w.as(rolesOf("doctor")...))), program("rookery"), "doctor")
	if code != 0 || !strings.Contains(stdout, "a pooler stands in front") {
		t.Errorf("doctor behind a pooler = %d %s%s, want a warning", code, stdout, stderr)
	}
	if strings.Contains(serve.err.String(), "notifications do not arrive") {
		t.Error("the relay listens through the pooler, and not at DATABASE_LISTEN_URL")
	}
	serve.terminate(30 * time.Second)
	worker.terminate(30 * time.Second)
}

func userOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.User.Username()
}
