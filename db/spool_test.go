package db_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

func spooled(n int, kinds ...string) job.Spooled {
	r := job.Spooled{Key: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Digest: []byte(fmt.Sprintf("%016d", n))}
	for _, kind := range kinds {
		r.Specs = append(r.Specs, job.Spec{QueueName: queue, Kind: kind})
	}
	return r
}

func (w *world) insertSpooled(requests ...job.Spooled) [][]int64 {
	w.Helper()
	ids, err := w.InsertSpooled(w.Context(), requests)
	if err != nil {
		w.Fatalf("InsertSpooled: %v", err)
	}
	return ids
}

func TestInsertSpooled_OnceUnderAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.insertSpooled(spooled(1, "a", "b"), spooled(2, "c"))
	if diff := cmp.Diff(first, w.insertSpooled(spooled(1, "a", "b"), spooled(2, "c"))); diff != "" {
		t.Errorf("the same requests again (-first +again):\n%s", diff)
	}
	if got := w.insertSpooled(spooled(2, "c"), spooled(3, "d")); !slices.Equal(got[0], first[1]) || len(got[1]) != 1 {
		t.Errorf("one old and one new = %v, want %v and a new id", got, first[1])
	}
	kinds := get[[]string](w, "SELECT array_agg(kind ORDER BY id) FROM outbox.jobs")
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, kinds); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.ready"); n != 4 {
		t.Errorf("%d jobs are filed, want 4", n)
	}
	ids, err := w.SpooledJobs(t.Context(), spooled(1).Key)
	if err != nil || !slices.Equal(ids, first[0]) {
		t.Errorf("SpooledJobs = %v, %v, want %v", ids, err, first[0])
	}
	if _, err := w.SpooledJobs(t.Context(), spooled(9).Key); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("SpooledJobs of another key = %v, want ErrNotFound", err)
	}
	reused := spooled(1, "x")
	reused.Digest = []byte("another body....")
	if _, err := w.InsertSpooled(t.Context(), []job.Spooled{spooled(5, "e"), reused}); !errors.Is(err, job.ErrKeyReused) {
		t.Errorf("another request under a key = %v, want ErrKeyReused", err)
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.jobs"); n != 4 {
		t.Errorf("%d jobs after a refusal, want 4: all requests or none", n)
	}
}

func TestInsertSpooled_JobsArriveUnchanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	priority, runAt := 7, time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	r := spooled(1, "plain")
	r.Specs = append(r.Specs,
		job.Spec{QueueName: "a:b.c", Kind: "é<>&", Payload: json.RawMessage(`null`), Priority: &priority, MaxAttempts: 3, RunAt: runAt, Headers: json.RawMessage(`{"a":1}`)},
		job.Spec{QueueName: queue, Payload: json.RawMessage(`{"n":12345678901234567890.10}`)})
	for i, id := range w.insertSpooled(r)[0] {
		j, err := w.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want, err := r.Specs[i].Filled()
		if err != nil {
			t.Fatal(err)
		}
		if want.RunAt.IsZero() {
			want.RunAt = j.CreatedAt // due at its insert
		}
		if j.QueueName != want.QueueName || j.Kind != want.Kind || int(j.Priority) != *want.Priority || int(j.MaxAttempts) != want.MaxAttempts ||
			!j.RunAt.Equal(want.RunAt) || compact(j.Payload) != compact(want.Payload) || compact(j.Headers) != compact(want.Headers) {
			t.Errorf("job %d = %+v, want %+v", i, j, want)
		}
	}
}

func compact(raw json.RawMessage) string {
	b, _ := json.Marshal(raw)
	return string(b)
}

func TestInsertSpooled_RefusesWhatNoJobMayHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := spooled(1, "a")
	bad.Specs[0].Payload = json.RawMessage(`1e200000`)
	_, err := w.InsertSpooled(t.Context(), []job.Spooled{spooled(2, "b"), bad})
	var data *job.DataError
	if !errors.As(err, &data) {
		t.Errorf("a number that Postgres does not hold = %v, want a DataError", err)
	}
	bad.Specs[0] = job.Spec{QueueName: "a{b"}
	var field *job.FieldError
	if _, err := w.InsertSpooled(t.Context(), []job.Spooled{bad}); !errors.As(err, &field) {
		t.Errorf("a bad name = %v, want a FieldError", err)
	}
	if n := get[int](w, "SELECT (SELECT count(*) FROM outbox.jobs) + (SELECT count(*) FROM outbox.spooled)"); n != 0 {
		t.Errorf("%d rows after refusals, want none", n)
	}
}

// A copy that meets the first insert under way waits for its end: nothing when it
// commits, the jobs when it does not. It gives up after lock_timeout, to come again.
func TestInsertSpooled_WaitsForTheFirst(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tx := w.begun()
			w.in(tx, `SELECT outbox.insert_spooled($1, $2, '[{"queue_name": "mail", "kind": "first", "payload": 1, "priority": 1, "max_attempts": 1}]')`, spooled(1).Key, spooled(1).Digest)
			if _, err := w.hasty().InsertSpooled(t.Context(), []job.Spooled{spooled(1, "copy")}); !errors.Is(err, job.ErrConflict) {
				t.Errorf("while the first is under way = %v, want ErrConflict", err)
			}
			w.in(tx, end)
			w.insertSpooled(spooled(1, "copy"))
			want := map[string]string{"COMMIT": "first", "ROLLBACK": "copy"}[end]
			if got := get[[]string](w, "SELECT array_agg(kind) FROM outbox.jobs"); len(got) != 1 || got[0] != want {
				t.Errorf("after %s the jobs are %v, want %s", end, got, want)
			}
		})
	}
}

func TestInsertSpooled_ManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for page := range 5 {
				var requests []job.Spooled
				for n := range 10 {
					requests = append(requests, spooled(10*page+n, "a", "b"))
				}
				for { // a deadlock's victim comes again
					_, err := w.InsertSpooled(t.Context(), requests)
					if err == nil {
						break
					}
					if !errors.Is(err, job.ErrConflict) {
						t.Errorf("InsertSpooled: %v", err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if n := get[int](w, "SELECT count(*) FROM outbox.jobs"); n != 100 {
		t.Errorf("%d jobs of 50 requests of two, want 100", n)
	}
}

func TestRetireSpooled_OnlyWhatIsOlderThanTheSpoolsLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 4 {
		w.insertSpooled(spooled(n, "a"))
	}
	ages := []time.Duration{job.SpoolLife + 25*time.Hour, job.SpoolLife + 23*time.Hour, job.SpoolLife, 0}
	for n, age := range ages {
		w.exec("UPDATE outbox.spooled SET created_at = now() - $2 * interval '1 second' WHERE key = $1::text::uuid", spooled(n).Key, age.Seconds())
	}
	if n, err := w.RetireSpooled(t.Context()); n != 1 || err != nil {
		t.Errorf("RetireSpooled() = %d, %v, want 1", n, err)
	}
	for n := range ages {
		if _, err := w.SpooledJobs(t.Context(), spooled(n).Key); (err == nil) != (n > 0) {
			t.Errorf("SpooledJobs of a key %s old: %v", ages[n], err)
		}
	}
}

// A crash must not take back what the spool has forgotten.
func TestInsertSpooled_IsFlushed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx := w.begun()
	w.in(tx, "SET LOCAL synchronous_commit = off")
	w.in(tx, `SELECT outbox.insert_spooled($1, $2, '[{"queue_name": "mail", "kind": "", "payload": 1, "priority": 1, "max_attempts": 1}]')`, spooled(1).Key, spooled(1).Digest)
	var got string
	if err := tx.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil || got != "on" {
		t.Errorf("synchronous_commit at the commit = %q, %v, want on", got, err)
	}
}

func TestRoles_ServerDrains(t *testing.T) {
	t.Parallel()
	base := newWorld(t)
	w := worldAt(t, base.loginIn("rookery_server"))
	w.insertSpooled(spooled(1, "a"))
	if _, err := w.RetireSpooled(t.Context()); err != nil {
		t.Errorf("RetireSpooled: %v", err)
	}
	producer := openStore(t, base.loginIn("rookery_producer"), db.Options{})
	if _, err := producer.InsertSpooled(t.Context(), []job.Spooled{spooled(2, "a")}); err == nil {
		t.Error("a producer may insert under keys; want a refusal")
	}
}

// What leaves no doubt is told from what does, by real errors.
func TestNotInserted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	c := newCord(t, u.Host)
	u.Host = c.addr()
	conn := func(url string, limit time.Duration) (*pgx.Conn, error) {
		o, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		o.ConnectTimeout = limit
		return pgx.ConnectConfig(t.Context(), o)
	}
	open := func() *pgx.Conn {
		c, err := conn(u.String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	want := func(what string, err error, certain bool) {
		t.Helper()
		if err == nil || db.NotInserted(err) != certain || db.NotInserted(fmt.Errorf("wrapped: %w", db.Translate("insert", err))) != certain {
			t.Errorf("%s: NotInserted(%v) = %t, want %t", what, err, db.NotInserted(err), certain)
		}
	}
	readonly, broken, terminated, hanging := open(), open(), open(), open()
	if _, err := readonly.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	_, err = readonly.Exec(t.Context(), "INSERT INTO outbox.jobs DEFAULT VALUES")
	want("ERROR", err, true)
	_, err = readonly.Exec(t.Context(), "SELECT no_such_function()")
	want("ERROR before it ran", err, true)
	_, err = terminated.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
	want("FATAL", err, false)
	_, err = terminated.Exec(t.Context(), "SELECT 1")
	want("a closed connection", err, false)

	c.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = hanging.Exec(ctx, "SELECT 1")
	want("no answer", err, false)
	_, err = conn(u.String(), time.Second)
	want("a server that hangs at the start", err, true)
	c.cut()
	_, err = broken.Exec(t.Context(), "SELECT 1")
	want("a connection that broke", err, false) // SafeToRetry says true of this one
	u.Host = "127.0.0.1:1"
	_, err = conn(u.String(), patience)
	want("refused", err, true)
	if db.NotInserted(nil) {
		t.Error("NotInserted(nil) = true")
	}
}
