package db_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

// randomJobs makes n jobs of every status, with many ties in all that lists are ordered
// by, and returns the moment in the middle of those at which they were inserted and died.
func randomJobs(w *world, n int) time.Time {
	w.Helper()
	middle := get[time.Time](w, "SELECT '2026-01-01Z'::timestamptz")
	w.exec("ALTER TABLE outbox.jobs DISABLE TRIGGER jobs_inserted")
	w.exec(`WITH dice AS (
			SELECT floor(random() * 7)::integer AS fate, floor(random() * 3)::integer AS queue, floor(random() * 5)::integer AS kind, floor(random() * 3)::smallint AS priority,
				floor(random() * 20) * interval '1 hour' AS soon, $2::timestamptz + floor(random() * 9 - 4) * interval '1 day' AS born, random() < 0.5 AS failed
			FROM generate_series(1, $1::integer)
		)
		INSERT INTO outbox.jobs (queue_name, kind, priority, run_at, created_at, status, failure_count, finished_at, dispatch_id, last_error)
		SELECT 'q' || queue, (ARRAY['', 'email', 'email.welcome', 'email.bye', 'bill'])[kind + 1], priority,
			CASE WHEN fate = 1 THEN now() + interval '1 day' + soon ELSE born END, born,
			(ARRAY['queued', 'queued', 'dispatched', 'running', 'completed', 'dead', 'cancelled'])[fate + 1], (failed AND fate > 0)::integer,
			CASE WHEN fate > 3 THEN $2 + soon - interval '10 hours' END, CASE WHEN fate IN (2, 3) THEN queue + 1 END, CASE WHEN failed THEN repeat('☃', 400) END
		FROM dice`, n, middle)
	for _, sql := range []string{
		`INSERT INTO outbox.ready (queue_name, priority, job_id, size) SELECT queue_name, priority, id, 1 FROM outbox.jobs WHERE status = 'queued' AND run_at < now()`,
		`INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size) SELECT run_at, id, queue_name, priority, 1 FROM outbox.jobs WHERE status = 'queued' AND run_at > now()`,
		`INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id) SELECT dispatch_id, queue_name, array_agg(id), 1, 'r' FROM outbox.jobs WHERE dispatch_id IS NOT NULL GROUP BY 1, 2`,
		`INSERT INTO outbox.dead_letters (job_id, queue_name, kind, dead_at, reason) SELECT id, queue_name, kind, finished_at, 'exhausted' FROM outbox.jobs WHERE status = 'dead'`,
	} {
		w.exec(sql)
	}
	return middle
}

// oracle is a list as plain SQL has it: everything is read, and sorted.
func oracle(w *world, l job.Listing) []int64 {
	w.Helper()
	list, ok := map[string][2]string{
		"":          {"true", "j.id DESC"},
		"queued":    {"j.status = 'queued'", "j.id DESC"},
		"ready":     {"j.status = 'queued' AND j.run_at < now()", "j.queue_name, j.priority, j.id"},
		"scheduled": {"j.status = 'queued' AND j.run_at > now() AND j.failure_count = 0", "j.run_at, j.id"},
		"retrying":  {"j.status = 'queued' AND j.run_at > now() AND j.failure_count > 0", "j.run_at, j.id"},
		"out":       {"j.status IN ('dispatched', 'running')", "j.id DESC"},
		"dead":      {"j.status = 'dead'", "j.finished_at DESC, j.id DESC"},
	}[l.Status]
	if !ok {
		list = [2]string{"j.status = '" + l.Status + "'", "j.id DESC"}
	}
	conditions, args := []string{list[0]}, []any{}
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	if l.QueueName != "" {
		add("j.queue_name = $%d", l.QueueName)
	}
	if l.Kind != nil {
		if prefix, open := strings.CutSuffix(*l.Kind, "*"); open {
			add("left(j.kind, length($%[1]d)) = $%[1]d", prefix)
		} else {
			add("j.kind = $%d", *l.Kind)
		}
	}
	if !l.CreatedAfter.IsZero() {
		add("j.created_at > $%d", l.CreatedAfter)
	}
	if !l.CreatedBefore.IsZero() {
		add("j.created_at < $%d", l.CreatedBefore)
	}
	if !l.DiedAfter.IsZero() {
		add("j.finished_at > $%d", l.DiedAfter)
	}
	return get[[]int64](w, "SELECT coalesce(array_agg(id), '{}') FROM (SELECT j.id FROM outbox.jobs AS j WHERE "+strings.Join(conditions, " AND ")+" ORDER BY "+list[1]+") AS j", args...)
}

// Every list with every filter and every two of them, walked through page by page, is
// what plain SQL says.
func TestList_AgreesWithPlainSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	middle := randomJobs(w, 2500)
	kinds := []*string{nil}
	for _, kind := range []string{"", "email", "email.*", "*", "nowhere*"} {
		kinds = append(kinds, &kind)
	}
	shown := 0
	for _, status := range append(job.Filters(), "") {
		for _, queue := range []string{"", "q1", "nowhere"} {
			for _, kind := range kinds {
				for span := range 4 {
					if queue != "" && kind != nil && span > 0 {
						continue
					}
					l := job.Listing{Status: status, QueueName: queue, Kind: kind}
					switch {
					case span == 1:
						l.CreatedAfter = middle
					case span == 2:
						l.CreatedBefore = middle
					case span == 3 && status == "dead":
						l.DiedAfter = middle
					case span == 3:
						l.CreatedAfter, l.CreatedBefore = middle.Add(-time.Hour), middle.Add(time.Hour)
					}
					want := oracle(w, l)
					shown += len(want)
					for _, limit := range []int{len(want)/4 + 1, len(want)} {
						l.Limit = max(1, min(limit, job.MaxListing))
						if got := w.pages(l); !slices.Equal(got, want) {
							t.Fatalf("List(%+v) of kind %v has %d jobs %v, want %d %v", l, named(kind), len(got), got, len(want), want)
						}
					}
				}
			}
		}
	}
	if shown < 10_000 {
		t.Errorf("the lists have %d jobs, too few to say anything", shown)
	}
}

func named(kind *string) string {
	if kind == nil {
		return "any"
	}
	return fmt.Sprintf("%q", *kind)
}

// Errors are cut at a character's edge when that is asked for, and else whole.
func TestList_CutsErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(1)[0]
	w.exec("UPDATE outbox.jobs SET last_error = repeat('☃', 5) WHERE id = $1", id)
	for chars, want := range map[int]string{0: "☃☃☃☃☃", 3: "☃☃☃", 6: "☃☃☃☃☃"} {
		_, p := w.page(job.Listing{Limit: 1, ErrorChars: chars})
		if got := p.Jobs[0].LastError; got != want {
			t.Errorf("an error cut at %d = %q, want %q", chars, got, want)
		}
	}
}

// What is asked before many jobs are changed counts what plain SQL does, also where it
// believes a list and reads no job.
func TestPreviewMany_AgreesWithPlainSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	middle := randomJobs(w, 2500)
	some, all := "email.*", "*"
	for _, status := range []string{"ready", "scheduled", "retrying", "queued", "out", "dead", "completed", "cancelled"} {
		action := job.ActionCancel
		if job.Status(status).Terminal() {
			action = job.ActionDelete
		}
		for _, l := range []job.Listing{{}, {QueueName: "q1"}, {QueueName: "nowhere"}, {Kind: &some}, {Kind: &all}, {QueueName: "q1", Kind: &some}, {CreatedAfter: middle}, {DiedAfter: middle}} {
			if l.Status = status; !l.DiedAfter.IsZero() && status != "dead" {
				continue
			}
			want := oracle(w, l)
			p, err := w.PreviewMany(t.Context(), action, l)
			if err != nil || p.Matched != int64(len(want)) || p.Capped {
				t.Errorf("PreviewMany(%s, %+v) of kind %s = %d, capped %t, %v, want %d", action, l, named(l.Kind), p.Matched, p.Capped, err, len(want))
			}
			var shown []int64
			for _, j := range p.Examples {
				shown = append(shown, j.ID)
			}
			// "queued" is two lists, one after the other.
			if first := want[:min(len(want), job.PreviewExamples)]; status != "queued" && !slices.Equal(shown, first) {
				t.Errorf("PreviewMany(%s, %+v) of kind %s shows %v, want %v", action, l, named(l.Kind), shown, first)
			}
		}
	}
}

// A page that nearly all match reads few more places than it shows.
func TestNextSlice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ slice, looked, shown, want, next int }{
		{51, 51, 0, 51, 816},        // nothing matches: it grows
		{816, 867, 0, 51, 4000},     // up to so many
		{51, 51, 44, 51, 12},        // seven are missing, and some more of the next may be others
		{51, 51, 50, 51, 10},        // not one at a time
		{51, 51, 1, 51, 816},        // 51 places showed one: a slice does not grow beyond its measure
		{816, 867, 30, 51, 909},     // 21 are missing
		{1000, 1000, 1, 1001, 4000}, // the largest page
	} {
		if got := db.NextSlice(c.slice, c.looked, c.shown, c.want); got != c.next {
			t.Errorf("NextSlice(%d, %d, %d, %d) = %d, want %d", c.slice, c.looked, c.shown, c.want, got, c.next)
		}
	}
}
