package db_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// epochStart is before every moment of a test.
var epochStart time.Time

// patience bounds every wait, that of a world's Store for a lock too. Nothing is
// concluded from how long one took.
const patience = 2 * time.Minute

// The queue of most tests, and the names under which they claim and reconcile.
const (
	queue  = "mail"
	relay  = "relay-1"
	worker = "worker-1"
)

// world is a migrated database of the test's own, a Store on it, a second way in
// to look and to meddle, and the queue "mail" in epoch 1.
type world struct {
	*testing.T
	*db.Store
	url  string
	side *pgxpool.Pool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldAt(t, devtest.Postgres(t))
}

// worldAt is newWorld on a migrated database that exists already.
func worldAt(t *testing.T, url string) *world {
	t.Helper()
	s := openStore(t, url, db.Patient(db.Options{}, patience))
	side, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatalf("pgxpool.New: %v", err)
	}
	t.Cleanup(side.Close)
	w := &world{T: t, Store: s, url: url, side: side}
	w.begin(queue)
	return w
}

// openStore opens a Store until the test ends.
func openStore(t *testing.T, url string, o db.Options) *db.Store {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := db.Open(t.Context(), url, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// hasty is the same database through a Store that waits as in production: a second for a
// lock.
func (w *world) hasty() *world {
	w.Helper()
	return &world{T: w.T, Store: openStore(w.T, w.url, db.Options{}), url: w.url, side: w.side}
}

// begin registers a queue and begins its next epoch, which it returns.
func (w *world) begin(name string) int64 {
	w.Helper()
	if err := w.Register(w.Context(), []string{name}); err != nil {
		w.Fatalf("Register(%s): %v", name, err)
	}
	seen := get[int64](w, "SELECT epoch FROM outbox.queues WHERE name = $1", name)
	epoch, _, begun, err := w.BeginEpoch(w.Context(), name, seen, 0)
	if err != nil || !begun {
		w.Fatalf("BeginEpoch(%s, %d) = %d, %t, %v", name, seen, epoch, begun, err)
	}
	return epoch
}

// exec runs SQL past the Store.
func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.side.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// get reads one value past the Store.
func get[V any](w *world, sql string, args ...any) V {
	w.Helper()
	var v V
	if err := w.side.QueryRow(w.Context(), sql, args...).Scan(&v); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return v
}

// begun opens a transaction of another session; it is rolled back in the end.
func (w *world) begun() pgx.Tx {
	w.Helper()
	tx, err := w.side.Begin(w.Context())
	if err != nil {
		w.Fatalf("begin: %v", err)
	}
	w.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// in runs SQL in tx.
func (w *world) in(tx pgx.Tx, sql string, args ...any) {
	w.Helper()
	if _, err := tx.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// insert makes n due jobs of queue "mail" and returns their ids.
func (w *world) insert(n int) []int64 {
	w.Helper()
	return get[[]int64](w, `WITH made AS (
			INSERT INTO outbox.jobs (queue_name, kind, payload)
			SELECT $1, 'test', jsonb_build_object('n', n) FROM generate_series(1, $2) AS n RETURNING id)
		SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM made`, queue, n)
}

// everything is the span of a claim that reads the whole queue.
func everything() []job.Span {
	return []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: job.MaxPriority}}
}

// order returns a claim of up to limit jobs of queue "mail" in epoch 1.
func order(limit int) job.Claim {
	return job.Claim{QueueName: queue, Epoch: 1, RelayID: relay, DispatchID: job.NewDispatchID(), Limit: limit, Spans: everything()}
}

// claim takes a batch that must be got.
func (w *world) claim(limit int) job.Batch {
	w.Helper()
	b, err := w.Claim(w.Context(), order(limit))
	if err != nil {
		w.Fatalf("Claim(%d): %v", limit, err)
	}
	return b
}

// out inserts one job and claims it; nothing else may be due.
func (w *world) out() job.Ref {
	w.Helper()
	w.insert(1)
	b := w.claim(500)
	if len(b.Jobs) != 1 {
		w.Fatalf("Claim = %d jobs, want 1", len(b.Jobs))
	}
	return b.Jobs[0].Ref()
}

// reconcile records outcomes of one kind, and returns the number accepted.
func (w *world) reconcile(kind job.OutcomeKind, delay time.Duration, refs ...job.Ref) int {
	w.Helper()
	outcomes := make([]job.Outcome, len(refs))
	for i, ref := range refs {
		outcomes[i] = job.Outcome{Ref: ref, Kind: kind, Delay: delay}
	}
	got, err := w.Reconcile(w.Context(), worker, outcomes)
	if err != nil {
		w.Fatalf("Reconcile(%s): %v", kind, err)
	}
	return len(got)
}

// requeue takes attempts back in epoch 1, and returns the verdicts.
func (w *world) requeue(counts bool, refs ...job.Ref) []job.Verdict {
	w.Helper()
	r := job.Requeue{QueueName: queue, Epoch: 1}
	for _, ref := range refs {
		r.Attempts = append(r.Attempts, job.LostAttempt{Ref: ref, Counts: counts})
	}
	got, err := w.Requeue(w.Context(), r)
	if err != nil {
		w.Fatalf("Requeue: %v", err)
	}
	return got
}

// traces is where a job stands: its status, and its rows in the other tables.
type traces struct {
	Status                          job.Status
	Ready, Scheduled                int
	Attempts, DeadLetters, Cancels  int
	FailureCount, LostCount         int16
	AttemptCount                    int32
	DispatchID                      int64
	Reason, LastOutcome, Priorities string
}

func (w *world) traces(id int64) traces {
	w.Helper()
	var s traces
	err := w.side.QueryRow(w.Context(), `SELECT j.status, j.failure_count, j.lost_count, j.attempt_count, coalesce(j.dispatch_id, 0),
			(SELECT count(*) FROM outbox.ready WHERE job_id = j.id),
			(SELECT count(*) FROM outbox.scheduled WHERE job_id = j.id AND run_at = j.run_at),
			(SELECT count(*) FROM outbox.attempts WHERE job_id = j.id),
			(SELECT count(*) FROM outbox.dead_letters WHERE job_id = j.id),
			(SELECT count(*) FROM outbox.cancels WHERE job_id = j.id),
			coalesce((SELECT reason FROM outbox.dead_letters WHERE job_id = j.id), ''),
			coalesce((SELECT outcome FROM outbox.attempts WHERE job_id = j.id ORDER BY attempt_count DESC LIMIT 1), ''),
			coalesce((SELECT string_agg(priority::text, ',') FROM (
				SELECT priority FROM outbox.ready WHERE job_id = j.id UNION ALL
				SELECT priority FROM outbox.scheduled WHERE job_id = j.id) AS p), '')
		FROM outbox.jobs AS j WHERE j.id = $1`, id).Scan(
		&s.Status, &s.FailureCount, &s.LostCount, &s.AttemptCount, &s.DispatchID,
		&s.Ready, &s.Scheduled, &s.Attempts, &s.DeadLetters, &s.Cancels, &s.Reason, &s.LastOutcome, &s.Priorities)
	if err != nil {
		w.Fatalf("job %d: %v", id, err)
	}
	return s
}

// waitsForLock waits until a session of the Store waits for a lock.
func (w *world) waitsForLock() {
	w.Helper()
	w.until("a statement that waits for a lock", `SELECT count(*) > 0 FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`)
}

// until waits until the SQL says true.
func (w *world) until(what, sql string, args ...any) {
	w.Helper()
	devtest.Until(w, patience, what, func() (bool, error) {
		var yes bool
		err := w.side.QueryRow(w.Context(), sql, args...).Scan(&yes)
		return yes, err
	})
}

// all runs every function at once, waits for them, and fails on the first error.
func (w *world) all(runs ...func(context.Context) error) {
	w.Helper()
	errs := make(chan error, len(runs))
	for _, run := range runs {
		go func() { errs <- run(w.Context()) }()
	}
	for range runs {
		if err := <-errs; err != nil {
			w.Error(err)
		}
	}
	if w.Failed() {
		w.FailNow()
	}
}

func idsOf(b job.Batch) string {
	var ids []int64
	for _, e := range b.Jobs {
		ids = append(ids, e.ID)
	}
	return fmt.Sprint(ids)
}
