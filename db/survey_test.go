package db_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The survey goes through the gaps between the names it skips: whatever these are, it
// finds the other queues that have due jobs, each once.
func TestSurvey_FindsAllButWhatItSkips(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := []string{"-", "1", "A", "B", "Z", "_", "a", "a.b", "a:b", "b", "email:processing", "email:processing2", "z", "zz", "~no"}
	due := names[:len(names)-1]
	for i, name := range due {
		w.exec("INSERT INTO outbox.jobs (queue_name, priority) SELECT $1, n FROM generate_series(1, $2::int) AS n", name, 1+i%3)
	}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var skipped, want []string
		for _, name := range names {
			if r.IntN(3) == 0 {
				skipped = append(skipped, name)
			} else if slices.Contains(due, name) {
				want = append(want, name)
			}
		}
		r.Shuffle(len(skipped), func(i, j int) { skipped[i], skipped[j] = skipped[j], skipped[i] })
		s, err := w.Survey(t.Context(), epochStart, skipped)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(s.Queues)
		slices.Sort(want)
		if diff := cmp.Diff(want, s.Queues); diff != "" {
			t.Fatalf("seed %d: a survey that skips %q (-want +got):\n%s", seed, skipped, diff)
		}
	}
}

// While somebody holds an old snapshot the entries of claimed jobs stay, and a survey reads
// all of its queue's. One that skips the queue reads none of them: counted in pages.
func TestSurvey_ReadsNothingOfWhatItSkips(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("ALTER TABLE outbox.ready SET (autovacuum_enabled = off)") // what it reads is counted too
	w.exec("INSERT INTO outbox.jobs (queue_name) SELECT 'mail' FROM generate_series(1, 20000)")
	w.exec("INSERT INTO outbox.jobs (queue_name) VALUES ('a'), ('z')")
	old, err := w.side.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Rollback(t.Context()) }()
	if _, err := old.Exec(t.Context(), "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class"); err != nil {
		t.Fatal(err)
	}
	w.exec("DELETE FROM outbox.ready WHERE queue_name = 'mail'")
	pages := func(skipped ...string) int64 {
		t.Helper()
		read := func() int64 {
			return get[int64](w, "SELECT pg_stat_get_blocks_fetched('outbox.ready'::regclass) + pg_stat_get_blocks_fetched('outbox.ready_pkey'::regclass)")
		}
		// On one session, whose own counts are flushed before they are read.
		c := pinned(w)
		count := func() int64 {
			if _, err := c.Exec(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil {
				t.Fatal(err)
			}
			return read()
		}
		before := count()
		if _, err := c.Exec(t.Context(), statements(t)["Survey"], epochStart, skipped); err != nil {
			t.Fatal(err)
		}
		return count() - before
	}
	if n := pages(); n < 100 {
		t.Errorf("a survey over 20,000 dead entries read %d pages, want 100 or more, or this test shows nothing", n)
	}
	if n := pages("mail"); n > 30 {
		t.Errorf("a survey that skips them read %d pages, want at most 30", n)
	}
}
