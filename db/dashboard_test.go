package db_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/job"
)

func TestDeadGroups_ByHowTheyDied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`INSERT INTO outbox.jobs (queue_name, kind) SELECT 'mail', 'welcome' FROM generate_series(1, 11)`)
	last := get[int64](w, `WITH gone AS (DELETE FROM outbox.ready),
		buried AS (INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) SELECT id, queue_name, kind, 'exhausted' FROM outbox.jobs),
		dead AS (UPDATE outbox.jobs SET status = 'dead', finished_at = now(), last_error = 'smtp 421 id ' || id || E'\nin line 7' RETURNING id)
		SELECT max(id) FROM dead`)
	groups, err := w.DeadGroups(t.Context(), nil)
	if err != nil || len(groups) != 1 || groups[0].Jobs != 11 || groups[0].Error != "smtp # id #" || groups[0].ExampleID != last {
		t.Errorf("DeadGroups = %+v, %v, want one of 11", groups, err)
	}
	if n, err := w.CountDead(t.Context(), nil); err != nil || n != 11 {
		t.Errorf("CountDead = %d, %v, want 11", n, err)
	}
}

// What people are shown is counted so far and no further.
func TestQueueStats_EndAtTheCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`INSERT INTO outbox.jobs (queue_name) SELECT $1 FROM generate_series(1, $2::integer)`, queue, job.QueueCap+3)
	w.exec(`INSERT INTO outbox.jobs (queue_name, run_at) SELECT $1, now() + interval '1 hour' FROM generate_series(1, $2::integer)`, queue, 30)
	for most, want := range map[int][2]int64{20: {20, 20}, job.QueueCap: {job.QueueCap, 30}, job.StatsCap: {job.QueueCap + 3, 30}} {
		stats, err := w.QueueStats(t.Context(), most)
		if err != nil || len(stats) != 1 || stats[0].Ready != want[0] || stats[0].Scheduled != want[1] {
			t.Errorf("QueueStats up to %d = %+v, %v, want %d ready and %d scheduled", most, stats, err, want[0], want[1])
		}
	}
	w.exec(`INSERT INTO outbox.jobs (queue_name) SELECT 'other' FROM generate_series(1, $1::integer)`, job.GlanceCap+3)
	ahead, err := w.Ahead(t.Context(), job.Job{ID: 1 << 40, QueueName: "other", Priority: 100})
	if err != nil || ahead != job.GlanceCap {
		t.Errorf("Ahead = %d, %v, want %d", ahead, err, job.GlanceCap)
	}
}

// Of some queues, only their dead jobs are grouped and counted; and no job of another is
// read, whatever its payload.
func TestDead_OfSomeQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`WITH dead AS (
			INSERT INTO outbox.jobs (queue_name, kind, status, finished_at, last_error)
			SELECT q.name, 'k', 'dead', now(), 'boom' FROM unnest('{mail.a,mail.b,bills,mail}'::text[]) AS q (name), generate_series(1, 3) RETURNING id, queue_name
		)
		INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) SELECT id, queue_name, 'k', 'exhausted' FROM dead`)
	for _, tt := range []struct {
		queues []string
		want   string
	}{
		{nil, "bills mail mail.a mail.b"}, {[]string{"mail"}, "mail"}, {[]string{"mail.*"}, "mail.a mail.b"}, {[]string{"mail.*", "bills"}, "bills mail.a mail.b"}, {[]string{"x"}, ""},
	} {
		groups, err := w.DeadGroups(t.Context(), tt.queues)
		var names []string
		for _, g := range groups {
			names = append(names, g.QueueName)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("DeadGroups(%q) = %q, %v, want %q", tt.queues, got, err, tt.want)
		}
		if n, err := w.CountDead(t.Context(), tt.queues); err != nil || n != int64(3*len(names)) {
			t.Errorf("CountDead(%q) = %d, %v, want %d", tt.queues, n, err, 3*len(names))
		}
	}
	id := get[int64](w, `SELECT min(id) FROM outbox.jobs WHERE queue_name = 'bills'`)
	for queue, want := range map[string]error{"bills": nil, "mail": job.ErrNotFound} {
		if j, err := w.JobOf(t.Context(), id, []string{queue}); !errors.Is(err, want) || err == nil && j.ID != id {
			t.Errorf("JobOf(%d, %s) = %+v, %v, want %v", id, queue, j, err, want)
		}
	}
	if _, err := w.JobOf(t.Context(), 4711, []string{"mail"}); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("JobOf of no job = %v, want ErrNotFound", err)
	}
}
