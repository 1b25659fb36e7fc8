package db_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/job"
)

// ledger lists the jobs of all ledger rows.
func (w *world) ledger() []int64 {
	w.Helper()
	return get[[]int64](w, "SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM (SELECT unnest(job_ids) AS id FROM outbox.dispatches) AS listed")
}

// A claim that waits for a job's row while a cancel commits must not resurrect the
// job, nor list it.
func TestHole11_CancelWhileAClaimWaitsForTheRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(3)
	tx := w.begun()
	w.in(tx, "UPDATE outbox.jobs SET status = 'cancelled', finished_at = now() WHERE id = $1", ids[1])

	claimed := make(chan job.Batch, 1)
	go func() {
		b, err := w.Claim(context.Background(), order(500))
		if err != nil {
			t.Errorf("Claim: %v", err)
		}
		claimed <- b
	}()
	w.waitsForLock()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := <-claimed
	got := []int64{}
	for _, e := range b.Jobs {
		got = append(got, e.ID)
	}
	slices.Sort(got)
	if want := []int64{ids[0], ids[2]}; !slices.Equal(got, want) {
		t.Errorf("claimed = %v, want %v", got, want)
	}
	if want := []int64{ids[0], ids[2]}; !slices.Equal(w.ledger(), want) {
		t.Errorf("the ledger lists %v, want %v", w.ledger(), want)
	}
	if s := w.traces(ids[1]); s.Status != job.Cancelled || s.Ready != 0 || s.AttemptCount != 0 {
		t.Errorf("the cancelled job = %+v, want cancelled, unfiled and never attempted", s)
	}
}

// While a cancel is open its job's row in ready is locked: a claim passes it by.
func TestHole11_ClaimPassesByAnOpenCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(2)
	tx := w.begun()
	w.in(tx, "SELECT outbox.cancel($1)", ids[0])
	if b := w.claim(500); len(b.Jobs) != 1 || b.Jobs[0].ID != ids[1] {
		t.Errorf("Claim = jobs %s, want %d", idsOf(b), ids[1])
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := w.claim(500); len(b.Jobs) != 1 || b.Jobs[0].ID != ids[0] {
		t.Errorf("Claim after the rollback = jobs %s, want %d", idsOf(b), ids[0])
	}
}

// A cancel that finds its job out writes the order that carries it to Redis, with
// the attempt it is about, so that it can't hit a later one.
func TestHole11_CancelOrderNamesTheAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	for range 2 { // the second says that it was over
		if _, err := w.Cancel(t.Context(), ref.ID); err != nil {
			t.Fatalf("Cancel: %v", err)
		}
	}
	orders, err := w.Cancels(t.Context())
	if err != nil || len(orders) != 1 || orders[0] != (job.CancelOrder{QueueName: queue, Ref: ref}) {
		t.Fatalf("Cancels = %v, %v, want %v", orders, err, ref)
	}
	if _, err := w.Redrive(t.Context(), ref.ID); err != nil {
		t.Fatalf("Redrive: %v", err)
	}
	again := w.claim(1).Jobs[0].Ref()
	if again.DispatchID == ref.DispatchID {
		t.Errorf("the new attempt has the old dispatch id %d", ref.DispatchID)
	}
	if err := w.DropCancels(t.Context(), []job.Ref{again}); err != nil {
		t.Fatalf("DropCancels: %v", err)
	}
	if orders, _ = w.Cancels(t.Context()); len(orders) != 1 {
		t.Errorf("Cancels after dropping another attempt's = %v, want the first still", orders)
	}
	if err := w.DropCancels(t.Context(), []job.Ref{ref}); err != nil {
		t.Fatalf("DropCancels: %v", err)
	}
	if orders, _ = w.Cancels(t.Context()); len(orders) != 0 {
		t.Errorf("Cancels after dropping it = %v, want none", orders)
	}
}

// Whoever locks both goes by ready, scheduled, then jobs: it must not hold the job
// while it waits for its narrow row.
func TestHole11_LockOrder(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(w *world, ctx context.Context, id int64) error{
		"cancel": func(w *world, ctx context.Context, id int64) error {
			_, err := w.Cancel(ctx, id)
			return err
		},
		"refuse": func(w *world, ctx context.Context, id int64) error {
			return w.Refuse(ctx, job.Ref{ID: id}, "because")
		},
	} {
		for table, at := range map[string]string{"ready": "now()", "scheduled": "now() + interval '1 hour'"} {
			t.Run(name+" "+table, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				id := get[int64](w, "INSERT INTO outbox.jobs (queue_name, run_at) VALUES ('mail', "+at+") RETURNING id")
				if name == "refuse" && table == "scheduled" {
					// A head that also has a row in scheduled.
					w.exec("INSERT INTO outbox.ready SELECT queue_name, priority, id, outbox.size_of(payload, headers) FROM outbox.jobs")
				}
				tx := w.begun()
				w.in(tx, "SELECT FROM outbox."+table+" WHERE job_id = $1 FOR UPDATE", id)
				done := make(chan error, 1)
				go func() { done <- do(w, context.Background(), id) }()
				w.waitsForLock()
				// A claim is here: it has the narrow row, and wants the job.
				w.in(tx, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE NOWAIT", id)
				if err := tx.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
}

// Claims and cancels of the same jobs, hundreds of them at once: no deadlock, and
// each job is either out and in the ledger once, or cancelled; and the order is
// written if, and only if, it was out.
func TestHole11_ClaimsAgainstCancels(t *testing.T) {
	t.Parallel()
	const rounds, each = 300, 10
	w := newWorld(t)
	ids := w.insert(rounds * each)
	var runs []func(context.Context) error
	for range 2 {
		runs = append(runs, func(ctx context.Context) error {
			for range rounds {
				if _, err := w.Claim(ctx, order(each/2)); err != nil {
					return fmt.Errorf("claim: %w", err)
				}
			}
			return nil
		})
	}
	for half := range 2 {
		mine := slices.Clone(ids[half*len(ids)/2 : (half+1)*len(ids)/2])
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		runs = append(runs, func(ctx context.Context) error {
			for _, id := range mine[:rounds*2] {
				if _, err := w.Cancel(ctx, id); err != nil {
					return fmt.Errorf("cancel %d: %w", id, err)
				}
			}
			return nil
		})
	}
	w.all(runs...)

	rows, _ := w.side.Query(t.Context(), `SELECT format('%s is %s with dispatch %s, ledger rows %s, orders %s', j.id, j.status, j.dispatch_id, listed, orders)
		FROM outbox.jobs AS j
		CROSS JOIN LATERAL (SELECT count(*) AS listed FROM outbox.dispatches AS d WHERE j.id = ANY (d.job_ids)) AS l
		CROSS JOIN LATERAL (SELECT count(*) AS orders FROM outbox.cancels AS c WHERE c.job_id = j.id AND c.dispatch_id = j.dispatch_id) AS c
		CROSS JOIN LATERAL (SELECT count(*) AS filed FROM outbox.ready AS r WHERE r.job_id = j.id) AS r
		WHERE NOT CASE j.status
			WHEN 'queued' THEN filed = 1 AND listed = 0
			WHEN 'dispatched' THEN filed = 0 AND listed = 1 AND orders = 0
			WHEN 'cancelled' THEN filed = 0 AND (j.dispatch_id IS NULL AND listed = 0 AND orders = 0 OR j.dispatch_id IS NOT NULL AND listed = 1 AND orders = 1)
			ELSE false END
		ORDER BY j.id LIMIT 20`)
	wrong, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range wrong {
		t.Errorf("job %s", line)
	}
	t.Logf("%d dispatched, %d cancelled, %d of them out",
		get[int](w, "SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched'"),
		get[int](w, "SELECT count(*) FROM outbox.jobs WHERE status = 'cancelled'"),
		get[int](w, "SELECT count(*) FROM outbox.cancels"))
}
