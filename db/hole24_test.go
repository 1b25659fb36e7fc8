package db_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// A database may default to an isolation at which guards raise 40001; sessions of
// relays and workers say what they need themselves.
func TestHole24_IsolationOfTheDatabase(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			url := devtest.Postgres(t)
			setUp, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			var name string
			if err := setUp.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
				t.Fatal(err)
			}
			if _, err := setUp.Exec(t.Context(), "ALTER DATABASE "+name+" SET default_transaction_isolation = '"+level+"'"); err != nil {
				t.Fatal(err)
			}
			if err := setUp.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			const jobs = 2000
			w := worldAt(t, url)
			if got := get[string](w, "SHOW transaction_isolation"); got != level {
				t.Fatalf("the database's isolation = %s, want %s", got, level)
			}
			w.insert(jobs)
			run := func(ctx context.Context) error {
				for {
					b, err := w.Claim(ctx, order(50))
					if err != nil || len(b.Jobs) == 0 {
						return err
					}
					var ends []job.Outcome
					for _, ref := range b.Refs() {
						ends = append(ends, job.Outcome{Ref: ref, Kind: job.Succeeded})
					}
					got, err := w.Reconcile(ctx, worker, ends)
					if err != nil || len(got) != len(ends) {
						return fmt.Errorf("reconcile = %d verdicts, %w, want %d", len(got), err, len(ends))
					}
				}
			}
			w.all(run, run, run)
			if n := get[int](w, "SELECT count(*) FROM outbox.jobs WHERE status = 'completed'"); n != jobs {
				t.Errorf("completed = %d, want %d", n, jobs)
			}
			id := w.insert(1)[0]
			if done, err := w.Cancel(t.Context(), id); err != nil || !done {
				t.Errorf("Cancel = %t, %v", done, err)
			}
			if done, err := w.Redrive(t.Context(), id); err != nil || !done {
				t.Errorf("Redrive = %t, %v", done, err)
			}
		})
	}
}

func TestHole24_SessionsSayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	c := pinned(newWorld(t).hasty())
	for name, want := range map[string]string{
		"transaction_isolation": "read committed", "lock_timeout": "1s", "statement_timeout": "10s", "synchronous_commit": "on",
		"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_memoize": "off", "jit": "off", "application_name": "rookery",
	} {
		var got string
		if err := c.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %s, %v, want %s", name, got, err, want)
		}
	}
}

// A job's row that somebody has locked in psql stops a claim of it for a second, not
// the queue: the claims after it skip what is locked (TestClaim_SkipsLockedJobs).
func TestHole24_JobLockedByAnotherSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t).hasty()
	ids := w.insert(4)
	tx := w.begun()
	w.in(tx, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE", ids[2])

	if _, err := w.Claim(t.Context(), order(500)); !errors.Is(err, job.ErrConflict) {
		t.Errorf("Claim(500) = %v, want ErrConflict", err)
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.ready"); n != 4 {
		t.Errorf("ready = %d jobs, want 4: nothing was claimed", n)
	}
	if b := w.claim(2); len(b.Jobs) != 2 {
		t.Errorf("Claim(2) = jobs %s, want the first two", idsOf(b))
	}
	// Past the locked one a span goes on.
	c := order(500)
	c.Spans = []job.Span{{LoPriority: job.DefaultPriority, LoID: ids[2], HiPriority: job.MaxPriority}}
	b, err := w.Claim(t.Context(), c)
	if err != nil || len(b.Jobs) != 1 || b.Jobs[0].ID != ids[3] {
		t.Errorf("Claim past the locked job = %s, %v, want %d", idsOf(b), err, ids[3])
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := w.claim(500); len(b.Jobs) != 1 || b.Jobs[0].ID != ids[2] {
		t.Errorf("Claim(500) once it is free = jobs %s, want %d", idsOf(b), ids[2])
	}
}
