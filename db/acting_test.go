package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// What somebody does leaves one line, written by the role that was logged in; what
// changes nothing leaves none. Done by a user who has rookery_api and nothing else.
func TestActing_EachChangeLeavesOneLine(t *testing.T) {
	t.Parallel()
	base := newWorld(t)
	login := devtest.Login(t, base.url, db.APIRole)
	w := worldWithout(base, login)
	a := w.As(people)
	ids := base.insert(2)
	one := func(do func(context.Context, int64) (bool, error)) func() (any, error) {
		return func() (any, error) { return do(t.Context(), ids[0]) }
	}
	quiet := func(err error) (any, error) { return true, err }
	clone := fmt.Sprint(ids[1] + 1)
	first := fmt.Sprint(ids[0])
	for _, tt := range []struct {
		what string
		do   func() (any, error)
		want any
		line string // "": none
	}{
		{"redrive of a queued job", one(a.Redrive), false, ""},
		{"cancel", one(a.Cancel), true, "job.cancel " + first + " mail {}"},
		{"cancel again", one(a.Cancel), false, ""},
		{"redrive", one(a.Redrive), true, "job.redrive " + first + " mail {}"},
		{"delete of a queued job", one(a.Delete), false, ""},
		{"clone", func() (any, error) { id, err := a.Clone(t.Context(), ids[0]); return fmt.Sprint(id), err }, clone, "job.clone " + clone + ` mail {"of": ` + first + "}"},
		{"cancel to delete", one(a.Cancel), true, "job.cancel " + first + " mail {}"},
		{"delete", one(a.Delete), true, "job.delete " + first + " mail {}"},
		{"pause", func() (any, error) { return quiet(a.SetPaused(t.Context(), "mail", true)) }, true, "queue.pause mail mail {}"},
		{"pause again", func() (any, error) { return quiet(a.SetPaused(t.Context(), "mail", true)) }, true, ""},
		{"resume", func() (any, error) { return quiet(a.SetPaused(t.Context(), "mail", false)) }, true, "queue.resume mail mail {}"},
		{"window", func() (any, error) { return quiet(a.SetWindow(t.Context(), "mail", 7)) }, true, `queue.window mail mail {"window_size": 7}`},
		{"retention", func() (any, error) {
			return quiet(a.SetQueue(t.Context(), "mail", job.QueueChange{Keep: job.KeepForChange{SetRetentionDead: true}}))
		}, true, `queue.retention mail mail {"retention_dead_seconds": null}`},
		{"of many", func() (any, error) {
			_, err := w.ChangeMany(t.Context(), people, job.ActionCancel, ids[1:])
			return quiet(err)
		}, true,
			`job.cancel 1 jobs  {"ids": ["` + fmt.Sprint(ids[1]) + `"]}`},
	} {
		before := get[int64](base, "SELECT coalesce(max(id), 0) FROM outbox.audit")
		got, err := tt.do()
		if err != nil || got != tt.want {
			t.Errorf("%s = %v, %v, want %v", tt.what, got, err, tt.want)
		}
		lines := get[[]string](base, `SELECT coalesce(array_agg(concat_ws(' ', action, target, queue_name, detail)), '{}') FROM outbox.audit WHERE id > $1`, before)
		want := []string{}
		if tt.line != "" {
			want = append(want, tt.line)
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("%s: lines (-want +got):\n%s", tt.what, diff)
		}
	}
	if got := get[[]string](base, "SELECT array_agg(DISTINCT concat_ws(' ', principal, request_id, host(ip), database_role)) FROM outbox.audit"); len(got) != 1 || !strings.HasPrefix(got[0], "cli:ada r1 192.0.2.7 ") || strings.HasSuffix(got[0], " ") {
		t.Errorf("who did it: %q, want the actor and the role that was logged in", got)
	}
	if _, err := w.side.Exec(t.Context(), `INSERT INTO outbox.audit (principal, action, target, queue_name, detail, request_id, database_role) VALUES ('a', 'a.b', '', '', '{}', '', 'postgres')`); err == nil {
		t.Error("a line with a role of the writer's choice = nil, want a refusal")
	}
}

// Without its line nothing is changed.
func TestActing_IsOneTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(1)[0]
	nobody := w.As(job.Actor{Principal: strings.Repeat("a", 201)})
	var data *job.DataError
	if done, err := nobody.Cancel(t.Context(), id); done || !errors.As(err, &data) {
		t.Errorf("Cancel without a line = %t, %v, want a DataError", done, err)
	}
	if _, err := nobody.Clone(t.Context(), id); err == nil {
		t.Error("Clone without a line = nil, want an error")
	}
	if err := nobody.SetPaused(t.Context(), "mail", true); err == nil {
		t.Error("SetPaused without a line = nil, want an error")
	}
	if got := get[string](w, "SELECT string_agg(status, ',') || (SELECT count(*) FROM outbox.queues WHERE paused) FROM outbox.jobs"); got != "queued0" {
		t.Errorf("jobs and paused queues = %s, want one queued and none", got)
	}
	for what, err := range map[string]error{
		"Cancel": second(w.As(people).Cancel(t.Context(), 4711)), "Delete": second(w.As(people).Delete(t.Context(), 4711)),
	} {
		if !errors.Is(err, job.ErrNotFound) {
			t.Errorf("%s of no job = %v, want ErrNotFound", what, err)
		}
	}
	if _, err := w.As(people).Clone(t.Context(), 4711); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("Clone of no job = %v, want ErrNotFound", err)
	}
	var field *job.FieldError
	if err := w.As(people).SetWindow(t.Context(), "mail", 0); !errors.As(err, &field) {
		t.Errorf("a window of 0 = %v, want a FieldError", err)
	}
}

// To somebody who may act on some queues, jobs and queues of others are not there.
func TestActing_SomeQueuesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	theirs := w.insert(1)[0]
	mine := get[int64](w, `SELECT outbox.enqueue('k', '{}', queue_name => 'mine.a')`)
	some := people
	some.Queues = []string{"mine.*"}
	a := w.As(some)
	for what, do := range map[string]func(id int64, queue string) error{
		"Cancel":    func(id int64, _ string) error { return second(a.Cancel(t.Context(), id)) },
		"Redrive":   func(id int64, _ string) error { return second(a.Redrive(t.Context(), id)) },
		"Delete":    func(id int64, _ string) error { return second(a.Delete(t.Context(), id)) },
		"Clone":     func(id int64, _ string) error { _, err := a.Clone(t.Context(), id); return err },
		"SetPaused": func(_ int64, queue string) error { return a.SetPaused(t.Context(), queue, true) },
		"SetWindow": func(_ int64, queue string) error { return a.SetWindow(t.Context(), queue, 7) },
	} {
		if err := do(theirs, queue); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("%s of another's = %v, want ErrNotFound", what, err)
		}
		if err := do(mine, "mine.b"); err != nil && !errors.Is(err, job.ErrNotFound) { // it may have been deleted
			t.Errorf("%s of one's own = %v", what, err)
		}
	}
	if got := get[string](w, `SELECT j.status || q.paused || q.window_size FROM outbox.jobs AS j JOIN outbox.queues AS q ON q.name = j.queue_name WHERE j.id = $1`, theirs); got != "queuedfalse10000" {
		t.Errorf("another's job and queue are %s, want them as they were", got)
	}
	if got := get[int64](w, `SELECT count(*) FROM outbox.audit WHERE queue_name <> '' AND queue_name NOT LIKE 'mine.%'`); got != 0 {
		t.Errorf("%d lines of queues of others", got)
	}
}

func second(_ bool, err error) error { return err }

// Filters are whole words or beginnings, and a look at many lines ends somewhere.
func TestChanges_ByFilterAndCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, c := range []job.Change{
		people.Did("job.cancel", "1", "mail", nil), people.Did("job.cancel", "12", "bills", nil), people.Did("queue.pause", "mail", "mail", nil),
		job.Actor{Principal: "key:abc"}.Did("job.redrive", "1", "", nil),
	} {
		if err := w.RecordChange(t.Context(), c); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
	}
	for _, tt := range []struct {
		f    job.ChangeFilter
		want string
	}{
		{job.ChangeFilter{}, "job.redrive queue.pause job.cancel job.cancel"},
		{job.ChangeFilter{Principal: "cli:ada"}, "queue.pause job.cancel job.cancel"},
		{job.ChangeFilter{Principal: "cli:*"}, "queue.pause job.cancel job.cancel"},
		{job.ChangeFilter{Principal: "cli"}, ""},
		{job.ChangeFilter{Action: "job.*"}, "job.redrive job.cancel job.cancel"},
		{job.ChangeFilter{Action: "job.*", Target: "1"}, "job.redrive job.cancel"},
		{job.ChangeFilter{Target: "1*"}, "job.redrive job.cancel job.cancel"},
		{job.ChangeFilter{QueueName: "mail"}, "queue.pause job.cancel"},
		{job.ChangeFilter{QueueName: "m*"}, ""},
		{job.ChangeFilter{Principal: "%"}, ""},
	} {
		for _, limit := range []int{1, 2, 200} {
			var got []string
			for tt.f.Limit, tt.f.Before = limit, 0; ; {
				page, err := w.Changes(t.Context(), tt.f)
				if err != nil || len(page.Changes) > limit {
					t.Fatalf("Changes(%+v) = %+v, %v", tt.f, page, err)
				}
				for _, c := range page.Changes {
					got = append(got, c.Action)
				}
				if tt.f.Before = page.Next; page.Next == 0 {
					break
				}
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("Changes(%+v) = %q, want %q", tt.f, text, tt.want)
			}
		}
	}
	w.exec(`INSERT INTO outbox.audit (principal, action, target, queue_name, detail, request_id) SELECT 'config', 'a.b', '', '', '{}', '' FROM generate_series(1, $1)`, job.ChangesCap)
	page, err := w.Changes(t.Context(), job.ChangeFilter{Principal: "cli:ada", Limit: 10})
	if err != nil || len(page.Changes) != 0 || !page.Capped || page.Next == 0 {
		t.Fatalf("a look at %d other lines = %+v, %v, want it capped", job.ChangesCap, page, err)
	}
	if page, err = w.Changes(t.Context(), job.ChangeFilter{Principal: "cli:ada", Limit: 10, Before: page.Next}); err != nil || len(page.Changes) != 3 || page.Next != 0 {
		t.Errorf("the look behind them = %+v, %v, want three lines and the end", page, err)
	}
	for _, bad := range []job.ChangeFilter{{}, {Limit: 201}, {Limit: 1, Before: -1}, {Limit: 1, Target: strings.Repeat("é", 201)}, {Limit: 1, Action: "a\x00"}} {
		var field *job.FieldError
		if _, err := w.Changes(t.Context(), bad); !errors.As(err, &field) {
			t.Errorf("Changes(%+v) = %v, want a FieldError", bad, err)
		}
	}
}
