package db_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// keep is a prune of everything, as tests with jobs of an hour and a day want it.
func keep(change func(*job.Prune)) job.Prune {
	p := job.Prune{UpToID: math.MaxInt64, Keep: time.Hour, KeepDead: 24 * time.Hour}
	if change != nil {
		change(&p)
	}
	return p
}

// over makes n jobs that were inserted and finished so long ago, each with an attempt,
// a cancel order and, if it is dead, a dead letter. A status that is not terminal
// is made with a finished_at all the same.
func (w *world) over(n int, status job.Status, inserted, finished time.Duration) []int64 {
	w.Helper()
	return get[[]int64](w, `WITH made AS (
			INSERT INTO outbox.jobs (queue_name, status, run_at, created_at, finished_at)
			SELECT $1, $2, now() + interval '1 day', now() - $3::bigint * interval '1 microsecond', now() - $4::bigint * interval '1 microsecond' FROM generate_series(1, $5)
			RETURNING id, status),
		tried AS (INSERT INTO outbox.attempts (job_id, attempt_count, outcome) SELECT id, 1, 'fail' FROM made),
		told AS (INSERT INTO outbox.cancels (job_id, dispatch_id, queue_name) SELECT id, 1, $1 FROM made),
		dead AS (INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) SELECT id, $1, '', 'failed' FROM made WHERE status = 'dead')
		SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM made`, queue, status, inserted.Microseconds(), finished.Microseconds(), n)
}

// prune takes one slice, which must be its own.
func (w *world) prune(p job.Prune) job.Pruned {
	w.Helper()
	d, err := w.Prune(w.Context(), p)
	if err != nil || !d.Got {
		w.Fatalf("Prune(%+v) = %+v, %v", p, d, err)
	}
	return d
}

// left is which jobs there are.
func (w *world) left() []int64 {
	w.Helper()
	return get[[]int64](w, "SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM outbox.jobs")
}

func TestPrune_OnlyWhatIsOverForLongEnough(t *testing.T) {
	t.Parallel()
	const hour, minute = time.Hour, time.Minute
	for _, c := range []struct {
		status   job.Status
		finished time.Duration
		goes     bool
	}{
		{job.Completed, hour + minute, true}, {job.Completed, hour - minute, false},
		{job.Cancelled, hour + minute, true}, {job.Cancelled, hour - minute, false},
		{job.Dead, 24*hour + minute, true}, {job.Dead, 24*hour - minute, false}, {job.Dead, hour + minute, false},
		{job.Queued, 48 * hour, false}, {job.Dispatched, 48 * hour, false}, {job.Running, 48 * hour, false},
	} {
		t.Run(fmt.Sprintf("%s for %s", c.status, c.finished), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.over(1, c.status, 72*hour, c.finished)[0]
			bystander := w.over(1, job.Completed, 72*hour, 0)[0]
			w.exec("INSERT INTO outbox.spooled (key, digest, job_ids) VALUES (gen_random_uuid(), decode(repeat('00', 16), 'hex'), ARRAY[$1::bigint])", id)
			count := func(table string, of int64) int {
				return get[int](w, "SELECT count(*) FROM outbox."+table+" WHERE job_id = $1", of)
			}
			before := count("dead_letters", id)
			d := w.prune(keep(nil))
			want, rows := []int64{id, bystander}, 1
			if c.goes {
				want, rows, before = []int64{bystander}, 0, 0
			}
			if diff := cmp.Diff(want, w.left()); diff != "" || d.Deleted != int64(2-len(want)) {
				t.Errorf("Prune deleted %d, jobs (-want +got):\n%s", d.Deleted, diff)
			}
			if n := count("attempts", id); n != rows {
				t.Errorf("attempts = %d, want %d", n, rows)
			}
			if n := count("dead_letters", id); n != before {
				t.Errorf("dead letters = %d, want %d", n, before)
			}
			// The handler may have to be told yet; and the request may be sent again.
			if n, keys := count("cancels", id), get[int](w, "SELECT count(*) FROM outbox.spooled"); n != 1 || keys != 1 {
				t.Errorf("cancel orders, keys of requests = %d, %d, want both kept", n, keys)
			}
			if count("attempts", bystander) != 1 {
				t.Error("another job's history is gone")
			}
		})
	}
}

func TestPrune_ForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const years = 20 * 365 * 24 * time.Hour
	completed, dead := w.over(1, job.Completed, years, years), w.over(1, job.Dead, years, years)
	w.prune(keep(func(p *job.Prune) { p.Keep, p.KeepDead = -1, -1 }))
	if diff := cmp.Diff([]int64{completed[0], dead[0]}, w.left()); diff != "" {
		t.Errorf("both for ever (-want +got):\n%s", diff)
	}
	w.prune(keep(func(p *job.Prune) { p.Keep = -1 }))
	if diff := cmp.Diff(completed, w.left()); diff != "" {
		t.Errorf("completed ones for ever (-want +got):\n%s", diff)
	}
	w.prune(keep(func(p *job.Prune) { p.KeepDead = -1 }))
	if diff := cmp.Diff([]int64{}, w.left()); diff != "" {
		t.Errorf("dead ones for ever (-want +got):\n%s", diff)
	}
}

// Where a slice ends, and whether more is to be expected behind it.
func TestPrune_Place(t *testing.T) {
	t.Parallel()
	const old, fresh = 3 * time.Hour, time.Minute
	w := newWorld(t)
	w.over(1000, job.Completed, old, fresh) // 1 … 1000
	w.over(10, job.Completed, fresh, fresh) // … 1010, a young one among old ones does not end a walk
	w.over(1000, job.Completed, old, fresh) // … 2010
	w.over(5, job.Completed, fresh, fresh)  // … 2015
	w.exec("DELETE FROM outbox.jobs WHERE id BETWEEN 500 AND 599")
	w.exec("SELECT setval('outbox.jobs_id_seq', 3000)")
	for _, c := range []struct {
		after, upTo  int64
		young        time.Duration
		seen, nextID int64
		ended        bool
	}{
		{0, 499, 2 * time.Hour, 499, 499, false},             // as far as asked
		{0, math.MaxInt64, 2 * time.Hour, 1000, 1100, false}, // a thousand jobs
		{500, 599, 2 * time.Hour, 0, 599, false},             // a gap
		{1005, 1015, 2 * time.Hour, 10, 1015, false},
		{2000, 2012, 2 * time.Hour, 12, 2010, true}, // before young ones
		{2010, math.MaxInt64, 2 * time.Hour, 5, 2010, true},
		{2000, math.MaxInt64, 0, 15, 3000, true}, // as far as ids were given out
		{2000, 2012, 0, 12, 2012, false},
		{2015, 2900, 2 * time.Hour, 0, 2900, false},
		{3000, math.MaxInt64, 2 * time.Hour, 0, 3000, true},
	} {
		p := keep(func(p *job.Prune) { p.AfterID, p.UpToID, p.Young = c.after, c.upTo, c.young })
		want := job.Pruned{Got: true, Seen: c.seen, NextID: c.nextID, Ended: c.ended}
		if diff := cmp.Diff(want, w.prune(p)); diff != "" {
			t.Errorf("Prune(%d to %d, young %s) (-want +got):\n%s", c.after, c.upTo, c.young, diff)
		}
	}
}

func TestPrune_EmptyTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if diff := cmp.Diff(job.Pruned{Got: true, Ended: true}, w.prune(keep(nil))); diff != "" {
		t.Errorf("Prune of no jobs (-want +got):\n%s", diff)
	}
}

// What somebody has locked is left alone, and not waited for.
func TestPrune_SkipsWhatIsLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.over(3, job.Dead, 48*time.Hour, 48*time.Hour)
	tx := w.begun()
	w.in(tx, "SELECT outbox.redrive($1)", ids[1])
	if d := w.prune(keep(nil)); d.Deleted != 2 {
		t.Errorf("Prune beside a redrive under way deleted %d, want 2", d.Deleted)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := w.prune(keep(nil)); d.Deleted != 0 {
		t.Errorf("Prune after the redrive deleted %d, want 0", d.Deleted)
	}
	if s := w.traces(ids[1]); s.Status != job.Queued || s.Ready != 1 || s.Attempts != 1 {
		t.Errorf("the redriven job = %+v, want it queued, with its history", s)
	}
}

// A job is redriven after the slice was read and before it is deleted: what counts is
// how the job is now. A policy that waits, for somebody who is not the owner, stops
// the statement in between.
func TestPrune_RedrivenMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.over(1, job.Dead, 48*time.Hour, 48*time.Hour)[0]
	w.exec(`CREATE TABLE public.go ()`)
	w.exec(`GRANT SELECT ON public.go TO PUBLIC`)
	w.exec(`CREATE FUNCTION public.slow() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
		BEGIN
			WHILE NOT EXISTS (SELECT FROM public.go) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
			RETURN true;
		END $$`)
	w.exec(`ALTER TABLE outbox.jobs ENABLE ROW LEVEL SECURITY`)
	w.exec(`CREATE POLICY slow ON outbox.jobs USING (public.slow())`)
	other := worldAt(t, w.loginIn("rookery_server"))
	pruned := make(chan job.Pruned, 1)
	go func() { pruned <- other.prune(keep(nil)) }()
	w.until("the slice to be under way", `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`)
	if !get[bool](w, "SELECT outbox.redrive($1)", id) {
		t.Fatal("redrive = false")
	}
	w.exec(`INSERT INTO public.go DEFAULT VALUES`)
	if d := <-pruned; d.Deleted != 0 || d.Seen != 1 {
		t.Errorf("Prune = %+v, want one seen and none deleted", d)
	}
	if s := w.traces(id); s.Status != job.Queued || s.Ready != 1 || s.Attempts != 1 {
		t.Errorf("the redriven job = %+v, want it queued, with its history", s)
	}
}

func TestPrune_OneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.over(2, job.Completed, 48*time.Hour, 48*time.Hour)
	tx := w.begun()
	w.in(tx, "SELECT pg_advisory_xact_lock(1380928331, 3)")
	d, err := w.Prune(t.Context(), keep(nil))
	if err != nil || d.Got || d.Deleted != 0 || d.Seen != 0 {
		t.Errorf("Prune while another prunes = %+v, %v, want nothing done", d, err)
	}
	if diff := cmp.Diff(ids, w.left()); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the lock goes with the statement
		w.prune(keep(nil))
	}
}

// Four at once, among people who redrive: every job goes once or is redriven.
func TestPrune_FourAtOnceAndRedrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 6000
	ids := w.over(n, job.Dead, 48*time.Hour, 48*time.Hour)
	deleted, redriven := make(chan int64, 4), 0
	walk := func(ctx context.Context) error {
		var at, sum int64
		for {
			d, err := w.Prune(ctx, keep(func(p *job.Prune) { p.AfterID, p.UpToID = at, at+200 }))
			if sum += d.Deleted; err != nil || d.Ended {
				deleted <- sum
				return err
			}
			if d.Got {
				at = d.NextID
			}
		}
	}
	w.all(walk, walk, walk, walk, func(ctx context.Context) error {
		for i := 0; i < n; i += 7 {
			yes, err := w.Redrive(ctx, ids[n-1-i])
			if err != nil && !errors.Is(err, job.ErrNotFound) {
				return err
			}
			if yes {
				redriven++
			}
		}
		return nil
	})
	var sum int64
	for range 4 {
		sum += <-deleted
	}
	left := get[int64](w, "SELECT count(*) FROM outbox.jobs WHERE status = 'queued'")
	if sum+left != n || left != int64(redriven) || int64(len(w.left())) != left {
		t.Errorf("deleted, redriven, left = %d, %d, %d of %d, want each job to go once or be redriven", sum, redriven, left, n)
	}
	t.Logf("deleted %d, redriven %d", sum, redriven)
}

// A relay's own role is enough, and a request is answered from its key when its job
// has gone.
func TestPrune_ByTheRelaysRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	request := spooled(1, "test")
	first := w.insertSpooled(request)
	w.exec("UPDATE outbox.jobs SET status = 'completed', finished_at = now() - interval '2 hours'")
	w.over(1, job.Dead, 48*time.Hour, 48*time.Hour)
	relays := worldAt(t, w.loginIn("rookery_relay"))
	if d := relays.prune(keep(nil)); d.Deleted != 2 || !d.Ended {
		t.Errorf("Prune as rookery_relay = %+v, want two deleted", d)
	}
	if diff := cmp.Diff(first, w.insertSpooled(request)); diff != "" {
		t.Errorf("the same request again (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{}, w.left()); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

// A queue's own retention goes before the relay's, each of the two for itself; for ever is
// for ever.
func TestPrune_QueuesOwnRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day, forever := int64(24*3600), int64(0)
	set := func(k job.KeepFor) {
		t.Helper()
		if err := w.As(people).SetQueue(t.Context(), queue, job.QueueChange{Keep: job.KeepForChange{KeepFor: k, SetRetention: true, SetRetentionDead: true}}); err != nil {
			t.Fatal(err)
		}
	}
	done := w.over(1, job.Completed, 72*time.Hour, 2*time.Hour)[0]
	dead := w.over(1, job.Dead, 72*time.Hour, 48*time.Hour)[0]
	other := w.over(1, job.Completed, 72*time.Hour, 2*time.Hour)[0]
	w.exec("UPDATE outbox.jobs SET queue_name = 'other' WHERE id = $1", other)
	for _, step := range []struct {
		keep job.KeepFor
		left []int64
	}{
		{job.KeepFor{Retention: &day, RetentionDead: &forever}, []int64{done, dead}}, // the other queue's goes by the relay's hour
		{job.KeepFor{Retention: &forever}, []int64{done}},                            // the relay keeps dead ones for a day
		{job.KeepFor{Retention: &forever, RetentionDead: &day}, []int64{done}},
		{job.KeepFor{}, []int64{}},
	} {
		set(step.keep)
		w.prune(keep(nil))
		if diff := cmp.Diff(step.left, w.left()); diff != "" {
			t.Errorf("with %+v (-want +left):\n%s", step.keep, diff)
		}
	}
	if err := w.As(people).SetQueue(t.Context(), queue, job.QueueChange{Keep: job.KeepForChange{KeepFor: job.KeepFor{Retention: &day}, SetRetention: true}}); err != nil {
		t.Fatal(err)
	}
	if err := w.As(people).SetQueue(t.Context(), queue, job.QueueChange{Keep: job.KeepForChange{KeepFor: job.KeepFor{RetentionDead: &day}, SetRetentionDead: true}}); err != nil {
		t.Fatal(err)
	}
	if q, err := w.QueueStatsOf(t.Context(), queue); err != nil || q.Retention == nil || *q.Retention != day || q.RetentionDead == nil || *q.RetentionDead != day {
		t.Errorf("the queue = %+v, %v, want a day of both", q, err)
	}
	odd := int64(59)
	var field *job.FieldError
	if err := w.As(people).SetQueue(t.Context(), queue, job.QueueChange{Keep: job.KeepForChange{KeepFor: job.KeepFor{Retention: &odd}, SetRetention: true}}); !errors.As(err, &field) {
		t.Errorf("59 s = %v, want a FieldError", err)
	}
}
