package db_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/job"
)

// page returns the ids of a page, and the page.
func (w *world) page(l job.Listing) ([]int64, job.Page) {
	w.Helper()
	p, err := w.List(w.Context(), l)
	if err != nil {
		w.Fatalf("List(%+v): %v", l, err)
	}
	out := []int64{}
	for _, j := range p.Jobs {
		out = append(out, j.ID)
		if len(j.Payload)+len(j.Headers) != 0 {
			w.Errorf("List(%+v) shows payload or headers of job %d", l, j.ID)
		}
	}
	return out, p
}

// pages returns the ids of all pages.
func (w *world) pages(l job.Listing) []int64 {
	w.Helper()
	out := []int64{}
	for n := 0; ; n++ {
		ids, p := w.page(l)
		out = append(out, ids...)
		if p.Next == nil {
			return out
		}
		if l.From = p.Next; len(ids) == 0 && !p.Capped || n > 100 {
			w.Fatalf("List(%+v) goes on for ever", l)
		}
	}
}

// Every filter shows its jobs in its order, whole or page by page.
func TestList_ByStatusInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dispatched, running := w.bring(job.Dispatched).ID, w.bring(job.Running).ID
	dead := []int64{w.bring(job.Dead).ID, w.bring(job.Dead).ID}
	completed := []int64{w.bring(job.Completed).ID, w.bring(job.Completed).ID}
	cancelled := w.bring(job.Cancelled).ID
	retrying := w.out()
	w.reconcile(job.Failed, time.Hour, retrying)
	ready := []int64{w.urgent(9), w.urgent(3), w.urgent(9)}
	w.later(2, "2 hours")
	w.later(1, "1 hour")
	other := get[int64](w, "INSERT INTO outbox.jobs (queue_name) VALUES ('a-other') RETURNING id")
	scheduled := get[[]int64](w, "SELECT array_agg(job_id ORDER BY run_at, job_id) FROM outbox.scheduled WHERE job_id <> $1", retrying.ID)
	all := get[[]int64](w, "SELECT array_agg(id ORDER BY id DESC) FROM outbox.jobs")
	queued := get[[]int64](w, "SELECT array_agg(id ORDER BY id DESC) FROM outbox.jobs WHERE status = 'queued'")
	slices.Reverse(dead)
	slices.Reverse(completed)
	inOrder := []int64{ready[1], ready[0], ready[2]}

	for _, tt := range []struct {
		status, queue string
		want          []int64
	}{
		{"", "", all},
		{"", queue, all[1:]},
		{"queued", "", queued},
		{"ready", "", append([]int64{other}, inOrder...)},
		{"ready", queue, inOrder},
		{"ready", "nowhere", []int64{}},
		{"scheduled", "", scheduled},
		{"scheduled", queue, scheduled},
		{"scheduled", "a-other", []int64{}},
		{"retrying", "", []int64{retrying.ID}},
		{"out", "", []int64{running, dispatched}},
		{"out", queue, []int64{running, dispatched}},
		{"out", "a-other", []int64{}},
		{"dispatched", "", []int64{dispatched}},
		{"running", "", []int64{running}},
		{"completed", "", completed},
		{"dead", "", dead},
		{"dead", queue, dead},
		{"dead", "a-other", []int64{}},
		{"cancelled", "", []int64{cancelled}},
	} {
		for _, limit := range []int{1, 2, len(tt.want), len(tt.want) + 1, job.MaxListing} {
			if limit == 0 {
				continue
			}
			l := job.Listing{Status: tt.status, QueueName: tt.queue, Limit: limit}
			if diff := cmp.Diff(tt.want, w.pages(l)); diff != "" {
				t.Errorf("%q of queue %q by %d (-want +got):\n%s", tt.status, tt.queue, limit, diff)
			}
			if first, p := w.page(l); len(first) != min(limit, len(tt.want)) || p.Capped || (p.Next == nil) != (limit >= len(tt.want)) {
				t.Errorf("%q of queue %q: a page of %d has %d jobs and goes on at %v", tt.status, tt.queue, limit, len(first), p.Next)
			}
		}
	}
}

func TestList_ByKindAndTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := get[[]int64](w, `WITH made AS (INSERT INTO outbox.jobs (kind, created_at) VALUES
			('', '2026-01-01'), ('a', '2026-01-02'), ('b', '2026-01-03'), ('a', '2026-01-04') RETURNING id)
		SELECT array_agg(id ORDER BY id) FROM made`)
	day := func(n int) time.Time {
		return get[time.Time](w, "SELECT $1::timestamptz", fmt.Sprintf("2026-01-%02d", n))
	}
	none, a := "", "a"
	for _, tt := range []struct {
		name string
		l    job.Listing
		want []int64
	}{
		{"kind", job.Listing{Kind: &a}, []int64{ids[3], ids[1]}},
		{"the empty kind", job.Listing{Kind: &none}, ids[:1]},
		{"after, not at", job.Listing{CreatedAfter: day(2)}, []int64{ids[3], ids[2]}},
		{"before, not at", job.Listing{CreatedBefore: day(3)}, []int64{ids[1], ids[0]}},
		{"between, of a kind", job.Listing{CreatedAfter: day(1), CreatedBefore: day(4), Kind: &a, Status: "ready"}, ids[1:2]},
	} {
		tt.l.Limit = 10
		if got, _ := w.page(tt.l); !slices.Equal(got, tt.want) {
			t.Errorf("%s = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A filter that matches nothing looks at so many places and no more, says so, and goes
// on from there.
func TestList_EndsAtTheCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("ALTER TABLE outbox.jobs DISABLE TRIGGER jobs_inserted") // nothing is to be claimed
	w.exec("INSERT INTO outbox.jobs (kind) SELECT CASE WHEN n = 1 THEN 'rare' ELSE '' END FROM generate_series(1, $1::int) AS n", job.BrowseCap+5)
	rare := "rare"
	l := job.Listing{Kind: &rare, Limit: 10}
	got, p := w.page(l)
	if len(got) != 0 || !p.Capped || p.Next == nil || p.Next.ID != 6 {
		t.Fatalf("the first page = %v, capped %t, next %+v, want none, capped at id 6", got, p.Capped, p.Next)
	}
	l.From = p.Next
	if got, p = w.page(l); !slices.Equal(got, []int64{1}) || p.Capped || p.Next != nil {
		t.Errorf("the second page = %v, capped %t, next %+v, want job 1 and the end", got, p.Capped, p.Next)
	}
}

// What the row of a place says spares the reading of its job, and counts as looked at.
func TestList_EndsAtTheCapOfEachIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("ALTER TABLE outbox.jobs DISABLE TRIGGER jobs_inserted")
	w.exec(`INSERT INTO outbox.jobs (queue_name, kind, status, run_at, finished_at)
		SELECT queue, kind, status, moment, CASE WHEN status = 'dead' THEN moment END
		FROM generate_series(1, $1::integer) AS n, unnest(ARRAY['queued', 'dead']) AS status,
			LATERAL (SELECT CASE WHEN n = $1 THEN 'rare' ELSE 'often' END AS queue, CASE WHEN n = $1 THEN 'rare' ELSE 'often' END AS kind,
				now() + n * (CASE status WHEN 'dead' THEN interval '-1 second' ELSE interval '1 hour' END) AS moment) AS made`, job.BrowseCap+5)
	w.exec(`INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size) SELECT run_at, id, queue_name, priority, 1 FROM outbox.jobs WHERE status = 'queued'`)
	w.exec(`INSERT INTO outbox.dead_letters (job_id, queue_name, kind, dead_at, reason) SELECT id, queue_name, kind, finished_at, 'exhausted' FROM outbox.jobs WHERE status = 'dead'`)
	rare, beginning := "rare", "ra*"
	for _, l := range []job.Listing{
		{Status: "scheduled", QueueName: rare}, {Status: "scheduled", Kind: &rare},
		{Status: "dead", QueueName: rare}, {Status: "dead", Kind: &rare}, {Status: "dead", Kind: &beginning},
	} {
		l.Limit = 10
		got, p := w.page(l)
		if len(got) != 0 || !p.Capped || p.Next == nil || p.Next.At.IsZero() {
			t.Fatalf("the first page of %+v = %v, capped %t, next %+v, want none and capped", l, got, p.Capped, p.Next)
		}
		l.From = p.Next
		if got, p = w.page(l); len(got) != 1 || p.Capped || p.Next != nil {
			t.Errorf("the second page of %+v = %v, capped %t, next %+v, want one job and the end", l, got, p.Capped, p.Next)
		}
	}
}

func TestList_BadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("k", job.MaxKind+1) + "*"
	for field, l := range map[string]job.Listing{
		"status":      {Status: "lost", Limit: 1},
		"queue_name":  {QueueName: "a b", Limit: 1},
		"kind":        {Kind: &long, Limit: 1},
		"limit":       {},
		"died_after":  {Status: "completed", DiedAfter: time.Now(), Limit: 1},
		"error_chars": {ErrorChars: -1, Limit: 1},
	} {
		var wrong *job.FieldError
		if _, err := w.List(t.Context(), l); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("List(%+v) = %v, want a FieldError of %s", l, err, field)
		}
	}
	for limit, ok := range map[int]bool{0: false, 1: true, job.MaxListing: true, job.MaxListing + 1: false} {
		if _, err := w.List(t.Context(), job.Listing{Limit: limit}); (err == nil) != ok {
			t.Errorf("List with limit %d = %v, want it taken %t", limit, err, ok)
		}
	}
}

// The places of a list are read in an index's order, whatever the tables hold: no sort,
// and no table read from end to end.
func TestList_WalksItsIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fill(w, 3000)
	w.exec("ANALYZE")
	texts := statements(t)
	for name, index := range map[string]string{
		"NewestPlaces": "jobs_pkey", "ReadyPlaces": "ready_pkey", "ReadyPlacesOfQueue": "ready_pkey", "ScheduledPlaces": "scheduled_pkey", "DeadPlaces": "dead_letters_by_age",
	} {
		args := map[string][]any{
			"NewestPlaces": {int64(1 << 62), int32(50)}, "ReadyPlaces": {"", int16(-5), int64(0), int32(50)}, "ReadyPlacesOfQueue": {"q1", int16(-5), int64(0), int32(50)},
			"ScheduledPlaces": {time.Unix(0, 0), int64(0), int32(50)}, "DeadPlaces": {job.LastRunAt(), int64(1 << 62), time.Unix(0, 0), int32(50)},
		}[name]
		plan := explain(w, texts[name], args...)
		if !slices.ContainsFunc(plan, func(line string) bool { return strings.Contains(line, "using "+index) }) ||
			slices.ContainsFunc(plan, func(line string) bool { return strings.Contains(line, "Sort") || strings.Contains(line, "Seq Scan") }) {
			t.Errorf("%s does not walk %s:\n%s", name, index, strings.Join(plan, "\n"))
		}
	}
}

// explain returns the plan of a statement with these arguments, on a session whose plans
// are free.
func explain(w *world, sql string, args ...any) []string {
	w.Helper()
	rows, _ := w.side.Query(w.Context(), "EXPLAIN (COSTS OFF) "+sql, args...)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.Fatalf("EXPLAIN %s: %v", sql, err)
	}
	return lines
}
