package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

const queue = "email:processing"

// patience bounds every wait for what must happen. Nothing is concluded from how long
// one took.
const patience = 3 * time.Minute

// world is what one test has for itself: a database, a Redis, child processes and
// the file in which its workers write down what they do. The children, and the
// tests' producers, may do what they must and no more (see login_test.go); url, pool
// and rdb are for looking and for meddling, and may do everything.
type world struct {
	t       *testing.T
	url     string // of the database
	pool    *pgxpool.Pool
	logins  map[string]string // URLs of those who may less, by their roles
	inserts *pgxpool.Pool     // a producer's
	redis   *devstack.Redis
	rdb     *redis.Client
	lease   time.Duration
	history string
	procs   []*process
	stepped int

	committed  []int64 // ids whose COMMIT was answered
	rolledBack []int64
}

// worldOptions of newWorld. The zero value is a database on the shared server and
// a Redis that forgets everything when it ends.
type worldOptions struct {
	lease     time.Duration // 0 means 3 s
	redisArgs []string
	postgres  *devstack.Postgres // a migrated one of the test's own
}

func newWorld(t *testing.T, o worldOptions) *world {
	t.Helper()
	w := &world{t: t, lease: o.lease, logins: map[string]string{}, history: filepath.Join(t.TempDir(), "history")}
	w.redis = devtest.RedisServer(t, append(devtest.RedisUserArgs(t), o.redisArgs...)...)
	if w.lease == 0 {
		w.lease = 3 * time.Second
	}
	if o.postgres != nil {
		w.url = o.postgres.URL("postgres")
	} else {
		w.url = devtest.Postgres(t)
	}
	w.pool, w.inserts = openPool(t, w.url), openPool(t, w.as("rookery_producer"))
	w.rdb = redis.NewClient(&redis.Options{Addr: w.redis.Addr(), MaxRetries: 3})
	w.login() // before end is deferred: the users must outlive the children
	t.Cleanup(w.end)
	return w
}

func openPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// end stops whatever still runs, and says what was seen when the test has failed.
func (w *world) end() {
	for _, p := range w.procs {
		p.kill()
		for _, bad := range p.faults() {
			w.t.Errorf("%s said %q", p.name, bad)
		}
	}
	if w.t.Failed() {
		w.t.Logf("counts: %v", w.countsOrError())
		for _, p := range w.procs {
			w.t.Logf("=== %s (pid %d, %s):\n%s", p.name, p.pid(), p.cmd.ProcessState, p.tail())
		}
	}
	_ = w.rdb.Close()
}

func (w *world) start(name string, env []string, argv ...string) *process {
	w.t.Helper()
	p := start(w.t, name, env, argv...)
	w.procs = append(w.procs, p)
	return p
}

// rookery starts the program under test with a command.
func (w *world) rookery(command string, env ...string) *process {
	w.t.Helper()
	args := strings.Fields(command)
	return w.start("rookery "+command, w.env(args[0], env...), append([]string{program("rookery")}, args...)...)
}

func (w *world) relay(env ...string) *process {
	w.t.Helper()
	return w.rookery("relay", env...)
}

// worker starts one that obeys the payloads of queue; see worker/main.go.
func (w *world) worker(slots int, env ...string) *process {
	w.t.Helper()
	own := []string{"E2E_HISTORY=" + w.history, "E2E_SLOTS=" + strconv.Itoa(slots), "E2E_QUEUES=" + queue, "E2E_HTTP=127.0.0.1:0"}
	return w.start("worker", append(w.env("worker", own...), env...), program("worker"))
}

// metric adds up the series of a worker's or relay's metric whose labels contain
// label.
func (p *process) metric(name, label string) float64 {
	p.t.Helper()
	p.says(patience, "http api listens")
	_, rest, _ := strings.Cut(p.err.String(), "http api listens\" addr=")
	return p.served("http://"+strings.Fields(rest)[0], name, label)
}

// served is metric for a process whose address is known.
func (p *process) served(base, name, label string) float64 {
	p.t.Helper()
	text := get(p.t, base+"/metrics")
	sum := 0.0
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, labels, _ := strings.Cut(series, "{"); n == name && strings.Contains(labels, label) {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				p.t.Fatalf("metric %s: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}

func get(t testing.TB, url string) string {
	t.Helper()
	status, body := call(t, http.MethodGet, url, "")
	if status != http.StatusOK {
		t.Fatalf("GET %s = %d: %s", url, status, body)
	}
	return body
}

// insert commits n jobs with one payload, in transactions of at most 50.
func (w *world) insert(n int, payload string) []int64 {
	w.t.Helper()
	var ids []int64
	for n > 0 {
		part := min(n, 50)
		made, err := queryIDs(w.t.Context(), w.inserts, `INSERT INTO outbox.jobs (queue_name, payload) SELECT $1, $2::jsonb FROM generate_series(1, $3) RETURNING id`, queue, payload, part)
		if err != nil {
			w.t.Fatalf("insert: %v", err)
		}
		ids = append(ids, made...)
		n -= part
	}
	w.committed = append(w.committed, ids...)
	return ids
}

// ids runs a statement that returns numbers.
func (w *world) ids(sql string, args ...any) []int64 {
	w.t.Helper()
	ids, err := queryIDs(w.t.Context(), w.pool, sql, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return ids
}

// count runs a statement that returns one number.
func (w *world) count(sql string, args ...any) int64 {
	w.t.Helper()
	return w.ids(sql, args...)[0]
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// until waits for a condition in the database.
func (w *world) until(limit time.Duration, what, sql string, args ...any) {
	w.t.Helper()
	devtest.Until(w.t, limit, what, func() (bool, error) {
		var yes bool
		err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&yes)
		return yes, err
	})
}

// untilStatus waits until all of ids have a status.
func (w *world) untilStatus(limit time.Duration, status string, ids []int64) {
	w.t.Helper()
	w.until(limit, fmt.Sprintf("%d jobs to be %s", len(ids), status),
		`SELECT count(*) = cardinality($2::bigint[]) FROM outbox.jobs WHERE id = ANY ($2) AND status = $1`, status, ids)
}

// untilStarted waits until n attempts have begun.
func (w *world) untilStarted(limit time.Duration, n int) {
	w.t.Helper()
	devtest.Until(w.t, limit, fmt.Sprintf("%d attempts to begin", n), func() (bool, error) {
		runs, err := readHistory(w.history)
		return len(runs) >= n, err
	})
}

// step returns the name of a file that handlers wait for, and what makes it.
func (w *world) step() (file string, open func()) {
	w.stepped++
	file = filepath.Join(filepath.Dir(w.history), "step-"+strconv.Itoa(w.stepped))
	return file, func() {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

// waiting is the payload of a job that runs until file is there.
func waiting(file string) string { return fmt.Sprintf(`{"do": "wait", "file": %q}`, file) }

// counts says what is left in Postgres and Redis; all of it is 0 at rest.
func (w *world) counts(ctx context.Context) (map[string]int64, error) {
	left := map[string]int64{}
	for _, table := range []string{"ready", "scheduled", "dispatches", "cancels"} {
		n, err := queryIDs(ctx, w.pool, `SELECT count(*) FROM outbox.`+table)
		if err != nil {
			return nil, err
		}
		left[table] = n[0]
	}
	n, err := queryIDs(ctx, w.pool, `SELECT count(*) FROM outbox.jobs WHERE status NOT IN ('completed', 'dead', 'cancelled')`)
	if err != nil {
		return nil, err
	}
	left["unfinished"] = n[0]
	key := "queue:{" + queue + "}"
	for _, set := range []string{":leases", ":lost"} {
		if left[set], err = w.rdb.ZCard(ctx, key+set).Result(); err != nil {
			return nil, err
		}
	}
	for _, list := range []string{":high", "", ":low"} {
		if left["list"+list], err = w.rdb.LLen(ctx, key+list).Result(); err != nil {
			return nil, err
		}
	}
	return left, nil
}

func (w *world) countsOrError() any {
	left, err := w.counts(context.Background())
	if err != nil {
		return err
	}
	return left
}

// rest waits until nothing is under way and nothing left, and returns the verifier's
// facts.
func (w *world) rest(limit time.Duration) facts {
	w.t.Helper()
	devtest.Until(w.t, limit, "rest", func() (bool, error) {
		left, err := w.counts(w.t.Context())
		if err != nil {
			return false, err
		}
		for _, n := range left {
			if n != 0 {
				return false, nil
			}
		}
		return true, nil
	})
	return w.facts()
}

// verify waits for rest and fails the test for whatever the verifier finds. It
// returns how many runs beyond the first there were.
func (w *world) verify(limit time.Duration, a allowance) int {
	w.t.Helper()
	f := w.rest(limit)
	problems, reruns := check(f, a)
	for i, p := range problems {
		if i == 20 {
			w.t.Errorf("… and %d more", len(problems)-i)
			break
		}
		w.t.Error(p)
	}
	w.t.Logf("%d jobs, %d runs, %d of them again", len(f.jobs), len(f.runs), reruns)
	return reruns
}

// runsOf returns the runs of some jobs, in the order of the history.
func (f facts) runsOf(ids []int64) (runs []attemptRun) {
	for _, r := range f.runs {
		if slices.Contains(ids, r.id) {
			runs = append(runs, r)
		}
	}
	return runs
}
