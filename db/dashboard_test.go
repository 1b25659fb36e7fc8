package db_test

import (
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
