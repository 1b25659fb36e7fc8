package db_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// browseAll follows the pages of a list to its end and returns the ids in its order.
func (w *world) browseAll(b job.Browse) []int64 {
	w.Helper()
	var ids []int64
	for range 1000 {
		page, err := w.Browse(w.Context(), b)
		if err != nil {
			w.Fatalf("Browse(%+v): %v", b, err)
		}
		for _, j := range page.Jobs {
			ids = append(ids, j.ID)
		}
		if page.Next.ID == 0 {
			return ids
		}
		b.After = page.Next
	}
	w.Fatalf("Browse(%+v) never ends", b)
	return nil
}

// lots makes n jobs of a queue and kind that fall due then.
func (w *world) lots(n int, queue, kind, runAt string) []int64 {
	w.Helper()
	return get[[]int64](w, `WITH made AS (
			INSERT INTO outbox.jobs (queue_name, kind, run_at, priority)
			SELECT $2, $3, now() + $4::interval + n * interval '1 millisecond', n % 3 FROM generate_series(1, $1) AS n RETURNING id)
		SELECT array_agg(id ORDER BY id) FROM made`, n, queue, kind, runAt)
}

// Each list shows each of its jobs once, whatever the size of the page.
func TestBrowse_EachJobOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	due := w.lots(25, queue, "welcome", "-1 hour")
	bills := w.lots(7, "bills", "bill", "-1 hour")
	later := w.lots(23, queue, "welcome", "1 hour")
	retrying := w.lots(5, queue, "again", "2 hours")
	w.exec(`UPDATE outbox.jobs SET failure_count = 1 WHERE id = ANY ($1)`, retrying)
	dead := w.lots(11, queue, "welcome", "3 hours")
	w.exec(`WITH gone AS (DELETE FROM outbox.scheduled WHERE job_id = ANY ($1)), buried AS (INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) SELECT id, $2, 'welcome', 'exhausted' FROM unnest($1::bigint[]) AS id)
		UPDATE outbox.jobs SET status = 'dead', finished_at = now(), last_error = 'smtp 421 id ' || id WHERE id = ANY ($1)`, dead, queue)
	all := slices.Concat(due, bills, later, retrying, dead)
	for _, tt := range []struct {
		name string
		b    job.Browse
		want []int64
	}{
		{"all", job.Browse{}, all},
		{"all of a queue", job.Browse{Queue: "bills"}, bills},
		{"of a kind", job.Browse{Kind: "welcome"}, slices.Concat(due, later, dead)},
		{"of a beginning", job.Browse{Kind: "b*"}, bills},
		{"of a beginning that is a whole kind's", job.Browse{Kind: "bil"}, nil},
		{"not so old", job.Browse{Since: time.Now().Add(time.Hour)}, nil},
		{"ready", job.Browse{List: job.ListReady}, slices.Concat(due, bills)},
		{"ready of the first queue", job.Browse{List: job.ListReady, Queue: "bills"}, bills},
		{"ready of the second queue", job.Browse{List: job.ListReady, Queue: queue}, due},
		{"scheduled", job.Browse{List: job.ListScheduled}, later},
		{"retrying", job.Browse{List: job.ListRetrying}, retrying},
		{"dead", job.Browse{List: job.ListDead}, dead},
		{"dead of another queue", job.Browse{List: job.ListDead, Queue: "bills"}, nil},
		{"out", job.Browse{List: job.ListOut}, nil},
		{"completed", job.Browse{List: job.ListCompleted}, nil},
	} {
		for _, limit := range []int{1, 4, 5, 200} {
			tt.b.Limit = limit
			got := w.browseAll(tt.b)
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s by %d: %d jobs %v, want %d", tt.name, limit, len(got), got, len(tt.want))
			}
		}
	}
	b := w.claim(10)
	for _, limit := range []int{1, 3, 9, 10, 11} {
		if got := w.browseAll(job.Browse{List: job.ListOut, Limit: limit}); len(got) != len(b.Jobs) {
			t.Errorf("out by %d: %d jobs, want %d", limit, len(got), len(b.Jobs))
		}
	}
	if got := w.browseAll(job.Browse{List: job.ListRunning, Limit: 10}); len(got) != 0 {
		t.Errorf("running: %v, want none", got)
	}
	groups, err := w.DeadGroups(t.Context())
	if err != nil || len(groups) != 1 || groups[0].Jobs != 11 || groups[0].Error != "smtp # id #" || groups[0].ExampleID != dead[10] {
		t.Errorf("DeadGroups = %+v, %v, want one of 11", groups, err)
	}
	stats, err := w.Glances(t.Context())
	if err != nil || len(stats) != 1 || stats[0].Ready != 15 || stats[0].Scheduled != 28 || stats[0].Out != 10 || stats[0].OldestAt == nil {
		t.Errorf("Glances = %+v, %v", stats, err) // "bills" is no queue until a relay registers it
	}
}

// A look that ends before it finds something says how far it went.
func TestBrowse_IsCapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.lots(1, "rare", "", "-1 hour")
	w.exec(`INSERT INTO outbox.jobs (queue_name) SELECT 'mail' FROM generate_series(1, $1::integer)`, job.BrowseMost)
	page, err := w.Browse(t.Context(), job.Browse{Queue: "rare", Limit: 10})
	if err != nil || len(page.Jobs) != 0 || !page.Capped || page.Next.ID == 0 {
		t.Fatalf("first page = %+v, %v, want none and capped", page, err)
	}
	if got := w.browseAll(job.Browse{Queue: "rare", Limit: 10}); !slices.Equal(got, first) {
		t.Errorf("all pages = %v, want %v", got, first)
	}
	ahead, err := w.Ahead(t.Context(), job.Job{ID: 1 << 40, QueueName: "mail", Priority: 100})
	if err != nil || ahead != job.GlanceCap {
		t.Errorf("Ahead = %d, %v, want %d", ahead, err, job.GlanceCap)
	}
	if stats, err := w.Glances(t.Context()); err != nil || stats[0].Ready != job.GlanceCap {
		t.Errorf("Glances = %+v, %v, want %d ready", stats, err, job.GlanceCap)
	}
}

func TestBrowse_RefusesBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, b := range []job.Browse{{Limit: 0}, {Limit: 201}, {Limit: 1, List: "done"}} {
		var field *job.FieldError
		if _, err := w.Browse(t.Context(), b); !errors.As(err, &field) {
			t.Errorf("Browse(%+v) = %v, want a FieldError", b, err)
		}
	}
	for _, list := range []string{"", job.ListReady, job.ListScheduled, job.ListDead} {
		b := job.Browse{List: list, Limit: 1, Kind: "'; DROP TABLE outbox.jobs; --", Queue: "%_\\", After: job.BrowsePlace{ID: 1<<63 - 1, At: job.LastRunAt().Add(-time.Second), Queue: "~", Rank: 1<<15 - 1}}
		if _, err := w.Browse(t.Context(), b); err != nil {
			t.Errorf("Browse(%s) = %v", fmt.Sprint(b), err)
		}
	}
}
