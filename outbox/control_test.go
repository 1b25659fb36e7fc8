package outbox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

// From each status Cancel and Redrive do what job.Next says, and write the rows that
// go with it.
func TestCancelRedrive_FollowTheStatusTable(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	for _, from := range job.Statuses() {
		for _, event := range []job.Event{job.EventCancel, job.EventRedrive} {
			id := jobIn(t, conn, from)
			change := outbox.Cancel
			if event == job.EventRedrive {
				change = outbox.Redrive
			}
			to, want := job.Next(from, event)
			got, err := change(t.Context(), conn, id)
			if got != want || err != nil {
				t.Errorf("%s of %s = %v, %v, want %v", event, from, got, err, want)
			}
			if !want {
				to = from
			}
			wantOne(t, conn, string(to), "SELECT status FROM outbox.jobs WHERE id = $1", id)
			count := func(table string) int {
				return one[int](t, conn, "SELECT count(*)::int4 FROM outbox."+table+" WHERE job_id = $1", id)
			}
			if got, want := count("ready"), to == job.Queued; (got == 1) != want {
				t.Errorf("%s of %s: ready has %d rows, want it to have one: %v", event, from, got, want)
			}
			if got, want := count("dead_letters"), to == job.Dead; (got == 1) != want {
				t.Errorf("%s of %s: dead_letters has %d rows, want it to have one: %v", event, from, got, want)
			}
			out := from == job.Dispatched || from == job.Running
			if got, want := count("cancels"), out && event == job.EventCancel; (got == 1) != want {
				t.Errorf("%s of %s: cancels has %d rows, want it to have one: %v", event, from, got, want)
			}
			if event == job.EventRedrive && want {
				wantOne(t, conn, true, `SELECT attempt_count = 3 AND failure_count = 0 AND lost_count = 0 AND finished_at IS NULL AND run_at = run_at
					FROM outbox.jobs WHERE id = $1`, id)
			}
			// Once more changes nothing.
			if again, err := change(t.Context(), conn, id); again || err != nil {
				t.Errorf("%s of %s, again = %v, %v, want false", event, to, again, err)
			}
		}
	}
}

// jobIn makes a job that has come to a status as it would in real life.
func jobIn(t *testing.T, db outbox.Copier, s job.Status) int64 {
	t.Helper()
	id, err := outbox.Insert(t.Context(), db, mail{}, outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s == job.Queued {
		return id
	}
	wantOne(t, db, 1, `WITH gone AS (DELETE FROM outbox.ready WHERE job_id = $1 RETURNING job_id)
		UPDATE outbox.jobs SET status = $2, dispatch_id = 77, attempt_count = 3, failure_count = 2, lost_count = 1,
			finished_at = CASE WHEN $3 THEN now() END
		WHERE id IN (SELECT job_id FROM gone) RETURNING 1`, id, string(s), s.Terminal())
	if s == job.Dead {
		wantOne(t, db, 1, `INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) VALUES ($1, 'default', 'mail', 'x') RETURNING 1`, id)
	}
	return id
}

func TestCancel_OfAScheduledJob(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	id, err := outbox.Insert(t.Context(), conn, mail{}, outbox.Options{Delay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := outbox.Cancel(t.Context(), conn, id); !ok || err != nil {
		t.Errorf("Cancel() = %v, %v, want true", ok, err)
	}
	wantOne(t, conn, 0, "SELECT count(*)::int4 FROM outbox.scheduled")
	if ok, err := outbox.Redrive(t.Context(), conn, id); !ok || err != nil {
		t.Errorf("Redrive() = %v, %v, want true", ok, err)
	}
	wantOne(t, conn, 1, "SELECT count(*)::int4 FROM outbox.ready")
}

// A job whose worker was lost is filed with priority -1.
func TestCancel_OfALostJob(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	id := jobIn(t, conn, job.Queued)
	mustExec(t, conn, "UPDATE outbox.ready SET priority = -1 WHERE job_id = $1", id)
	if ok, err := outbox.Cancel(t.Context(), conn, id); !ok || err != nil {
		t.Errorf("Cancel() = %v, %v, want true", ok, err)
	}
	wantOne(t, conn, 0, "SELECT count(*)::int4 FROM outbox.ready")
}

func TestCancelRedrive_UnknownJob(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	for _, id := range []int64{0, -1, 1, 1<<63 - 1} {
		if _, err := outbox.Cancel(t.Context(), conn, id); !errors.Is(err, job.ErrNotFound) || !strings.HasPrefix(err.Error(), "cancel job ") {
			t.Errorf("Cancel(%d) = %v, want ErrNotFound", id, err)
		}
		if _, err := outbox.Redrive(t.Context(), conn, id); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("Redrive(%d) = %v, want ErrNotFound", id, err)
		}
	}
}

// Two sessions that cancel and redrive the same job at once: every call ends, and the
// narrow tables agree with the status.
func TestCancelRedrive_AtOnce(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	setup := connect(t, url)
	id := jobIn(t, setup, job.Queued)
	conns := []outbox.DB{connect(t, url), connect(t, url), connect(t, url)}
	done := make(chan error, len(conns))
	for i, conn := range conns {
		go func() {
			var errs []error
			for n := range 100 {
				change := outbox.Cancel
				if (n+i)%2 == 0 {
					change = outbox.Redrive
				}
				_, err := change(t.Context(), conn, id)
				errs = append(errs, err)
			}
			done <- errors.Join(errs...)
		}()
	}
	for range conns {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s := job.Status(one[string](t, setup, "SELECT status FROM outbox.jobs WHERE id = $1", id))
	if !slices.Contains([]job.Status{job.Queued, job.Cancelled}, s) {
		t.Errorf("status = %s", s)
	}
	wantOne(t, setup, s == job.Queued, "SELECT count(*) = 1 FROM outbox.ready")
}

// A race between cancels can leave a row in ready for a job that is over; a claim
// deletes it and changes nothing. A redrive at that moment must not rely on it, or the
// job would be queued and in no table that a relay reads.
func TestRedrive_DoesNotTrustALeftoverRow(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, relay := connect(t, url), connect(t, url)
	id := jobIn(t, conn, job.Cancelled)
	mustExec(t, conn, "INSERT INTO outbox.ready (queue_name, priority, job_id, size) VALUES ('default', 100, $1, 1)", id)

	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := outbox.Redrive(t.Context(), tx, id); !ok || err != nil {
		t.Fatalf("Redrive() = %v, %v, want true", ok, err)
	}
	// The claim, in short: it sees the job still cancelled.
	wantOne(t, relay, 0, `WITH gone AS (
			DELETE FROM outbox.ready WHERE ctid = ANY (ARRAY(SELECT ctid FROM outbox.ready FOR UPDATE SKIP LOCKED)) RETURNING job_id
		), moved AS (
			UPDATE outbox.jobs SET status = 'dispatched' WHERE id IN (SELECT job_id FROM gone) AND status = 'queued' RETURNING id
		)
		SELECT count(*)::int4 FROM moved`)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantOne(t, conn, "queued", "SELECT status FROM outbox.jobs WHERE id = $1", id)
	wantOne(t, conn, 1, "SELECT count(*)::int4 FROM outbox.ready WHERE job_id = $1", id)
}
