package db_test

import (
	"testing"

	"github.com/penguinmails/rookery/job"
)

// Dispatch and completion touch no index of outbox.jobs: design section 5,
// PROTOCOL.md hole 23. Not in parallel: while a transaction of any database of the
// server has an id and stays open, Postgres prunes less, here 80 % were HOT.
func TestHole23_DispatchAndCompletionAreHOT(t *testing.T) {
	const jobs = 10_000
	w := newWorld(t)
	w.exec("ALTER TABLE outbox.jobs SET (autovacuum_enabled = off)") // an ANALYZE is such a transaction
	w.insert(jobs)
	for done := 0; done < jobs; {
		b := w.claim(job.MaxBatch)
		if len(b.Jobs) == 0 {
			t.Fatalf("Claim after %d jobs = none, want more", done)
		}
		if n := w.reconcile(job.Succeeded, 0, b.Refs()...); n != len(b.Jobs) {
			t.Fatalf("Reconcile(%d) = %d verdicts", len(b.Jobs), n)
		}
		done += len(b.Jobs)
	}
	w.Close() // a session that ends hands in its figures

	w.until("the figures of 20,000 updates", "SELECT n_tup_upd >= $1 FROM pg_stat_user_tables WHERE relid = 'outbox.jobs'::regclass", 2*jobs)
	all := get[int64](w, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'outbox.jobs'::regclass")
	hot := get[int64](w, "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'outbox.jobs'::regclass")
	t.Logf("%d of %d updates were HOT", hot, all)
	if all != 2*jobs {
		t.Errorf("updates = %d, want %d", all, 2*jobs)
	}
	if hot*100 < all*95 {
		t.Errorf("HOT updates = %d of %d, want 95 %%", hot, all)
	}
}

// Every update stays HOT only as long as no index mentions what changes.
func TestHole23_NoIndexMentionsWhatChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := get[[]string](w, "SELECT array_agg(indexdef) FROM pg_indexes WHERE schemaname = 'outbox' AND tablename = 'jobs'")
	if len(got) != 1 || got[0] != "CREATE UNIQUE INDEX jobs_pkey ON outbox.jobs USING btree (id)" {
		t.Errorf("indexes of outbox.jobs = %q, want the primary key alone", got)
	}
	refer := get[int](w, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid = 'outbox.jobs'::regclass")
	if refer != 0 {
		t.Errorf("foreign keys to outbox.jobs = %d, want 0: each child row would lock its parent", refer)
	}
}
