package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Two producers whose inserts overlap, a long transaction with the lower id and a
// quick one that commits first: neither waits for a poll. It runs alone, since it
// measures.
func TestOverlap_BothStartSoonAfterTheirCommit(t *testing.T) {
	slow(t)
	for _, hot := range []bool{false, true} {
		t.Run(fmt.Sprintf("hot=%t", hot), func(t *testing.T) { overlap(t, hot) })
	}
}

func overlap(t *testing.T, hot bool) {
	const rounds, hold = 20, 120 * time.Millisecond
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	relay := w.rookery("relay --http 127.0.0.1:0")
	w.worker(20, "E2E_QUEUES="+queue+",noise")
	w.untilStatus(patience, "completed", w.insert(5, `{}`))
	if hot {
		noise(t, w.pool)
		devtest.Until(t, patience, "the relay to be hot", func() (bool, error) { return relay.metric("rookery_relay_gate_closed", "") == 1, nil })
	}
	closed := 0.0
	var quick, long, later []time.Duration
	for range rounds {
		if !hot {
			devtest.Until(t, patience, "the gate to be open", func() (bool, error) { return relay.metric("rookery_relay_gate_closed", "") == 0, nil })
		}
		closed += relay.metric("rookery_relay_gate_closed", "")
		a, b := overlapping(t, w.pool, hold)
		w.committed = append(w.committed, a.id, b.id)
		w.untilStatus(patience, "completed", []int64{a.id, b.id})
		runs, err := readHistory(w.history)
		if err != nil {
			t.Fatal(err)
		}
		f := facts{runs: runs}
		startA, startB := f.runsOf([]int64{a.id})[0].start, f.runsOf([]int64{b.id})[0].start
		since := func(start, commit int64) time.Duration { return time.Duration(start-commit) * time.Microsecond }
		long = append(long, since(startA, a.committed))
		quick = append(quick, since(startB, b.committed))
		later = append(later, since(max(startA, startB), max(a.committed, b.committed)))
	}
	for _, c := range []struct {
		name string
		took []time.Duration
	}{{"quick one, after its commit", quick}, {"long one, after its commit", long}, {"both, after the later commit", later}} {
		worst := slices.Index(c.took, slices.Max(c.took))
		slices.Sort(c.took)
		t.Logf("%-29s p50 %-10s p90 %-10s max %s (round %d)", c.name, c.took[rounds/2], c.took[rounds*9/10], c.took[rounds-1], worst+1)
	}
	t.Logf("the gate was closed at the start of %v of %d rounds", closed, rounds)
}

// inserted is a job and when its COMMIT was answered, in microseconds since 1970.
type inserted struct{ id, committed int64 }

// overlapping inserts a in a transaction that stays open for hold, and b in one
// that begins later and commits at once.
func overlapping(t *testing.T, pool *pgxpool.Pool, hold time.Duration) (a, b inserted) {
	t.Helper()
	ctx := t.Context()
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	const insert = `INSERT INTO outbox.jobs (queue_name) VALUES ($1) RETURNING id`
	if err := tx.QueryRow(ctx, insert, queue).Scan(&a.id); err != nil {
		t.Fatal(err)
	}
	<-time.After(hold / 2)
	if err := pool.QueryRow(ctx, insert, queue).Scan(&b.id); err != nil {
		t.Fatal(err)
	}
	b.committed = time.Now().UnixMicro()
	<-time.After(hold / 2)
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	a.committed = time.Now().UnixMicro()
	return a, b
}

// noise keeps the relay hot until the test ends: a job every 3 ms.
func noise(t *testing.T, pool *pgxpool.Pool) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := pool.Exec(ctx, `INSERT INTO outbox.jobs (queue_name) VALUES ('noise')`); err != nil && ctx.Err() == nil {
				t.Errorf("noise: %v", err)
				return
			}
			<-time.After(3 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}
