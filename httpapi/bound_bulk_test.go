package httpapi_test

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

// status is that of one job.
func (h *house) status(id int64) (status string) {
	h.Helper()
	if err := h.sql.QueryRow(h.Context(), `SELECT status FROM outbox.jobs WHERE id = $1`, id).Scan(&status); err != nil {
		h.Fatal(err)
	}
	return status
}

// By ids, jobs of others are answered as if they were not there, whatever the action.
func TestBoundKeys_BulkByIDs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.key("mine.*")
	for _, tt := range []struct{ action, before, after string }{{"cancel", "", "cancelled"}, {"redrive", "cancelled", "queued"}, {"delete", "cancelled", ""}} {
		own, foreign := h.job(mine, tt.before), h.job(theirs, tt.before)
		was := h.status(foreign)
		w := h.ask(key, "POST", "/v1/jobs/bulk", fmt.Sprintf(`{"action":%q,"ids":["%d","%d","999999"]}`, tt.action, own, foreign))
		status := ""
		if tt.after != "" {
			status = fmt.Sprintf(`,"status":%q`, tt.after)
		}
		want := fmt.Sprintf(`{"results":[{"id":"%d","result":"done"%s},{"id":"%d","result":"job_not_found"},{"id":"999999","result":"job_not_found"}],"done":1}`, own, status, foreign)
		if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != want {
			t.Errorf("%s of both = %d %s\nwant %s", tt.action, w.Code, got, want)
		}
		if got := h.status(foreign); got != was {
			t.Errorf("%s made another's job %s", tt.action, got)
		}
	}
	var named int
	if err := h.sql.QueryRow(t.Context(), `SELECT count(*) FROM outbox.audit AS a, jsonb_array_elements_text(a.detail->'ids') AS i (id)
		JOIN outbox.jobs AS j ON j.id = i.id::bigint WHERE j.queue_name = $1`, theirs).Scan(&named); err != nil || named != 0 {
		t.Errorf("the audit names %d jobs of others, %v", named, err)
	}
}

// By filter, what is looked for and what is begun is of the key's queues, however the
// filter is written; all means all of those.
func TestBoundKeys_BulkByFilter(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	some, one := h.key("mine.*", "spare"), h.key(mine)
	for range 3 {
		h.job(mine, "")
		h.job("mine.b", "")
		h.job(theirs, "")
	}
	for _, tt := range []struct {
		key, body string
		status    int
		says      string
	}{
		{some, `"filter":{"status":"queued"}`, 200, `"matched":6,`},
		{some, `"filter":{"status":"ready"}`, 200, `"matched":6,`},
		{some, `"filter":{"kind":"k"}`, 200, `"matched":6,`},
		{some, `"all":true`, 200, `"matched":6,`},
		{one, `"all":true`, 200, `"matched":3,`},
		{some, `"filter":{"queue_name":"mine.b"}`, 200, `"matched":3,`},
		{some, `"filter":{"queue_name":"theirs.b"}`, 403, "not for the queue theirs.b"},
		{some, `"filter":{"queue_name":"mine.*"}`, 422, "queue_name"},
		{some, `"filter":{"queues":"theirs.b"}`, 422, "queues"},
		{some, `"filter":{}`, 422, "must not be empty"},
	} {
		w := h.ask(tt.key, "POST", "/v1/jobs/bulk", `{"action":"cancel","dry_run":true,`+tt.body+`}`)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) || w.Code == 200 && strings.Contains(w.Body.String(), theirs) {
			t.Errorf("a look with %s = %d %s, want %d with %q", tt.body, w.Code, w.Body, tt.status, tt.says)
		}
	}
	w := h.ask(some, "POST", "/v1/jobs/bulk", `{"action":"cancel","all":true}`)
	if w.Code != 202 || !strings.Contains(w.Body.String(), `"filter":{"queues":["mine.*","spare"]}`) {
		t.Fatalf("cancel of all = %d %s, want it of the key's queues", w.Code, w.Body)
	}
	h.operate()
	var left string
	if err := h.sql.QueryRow(t.Context(), `SELECT string_agg(DISTINCT queue_name || ' ' || status, ', ' ORDER BY queue_name || ' ' || status) FROM outbox.jobs`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if want := "mine.a cancelled, mine.b cancelled, theirs.b queued"; left != want {
		t.Errorf("after a cancel of all there are %s, want %s", left, want)
	}
	var many []string // as many and as long as a key may have
	for i := range job.MaxQueuePatterns {
		many = append(many, fmt.Sprintf("%s%03d*", strings.Repeat("q", job.MaxQueueName-4), i))
	}
	wide := h.key(many...)
	if w := h.ask(wide, "POST", "/v1/jobs/bulk", `{"action":"cancel","all":true}`); w.Code != 422 || !strings.Contains(w.Body.String(), `"field":"queue_name"`) {
		t.Errorf("a filter of 100 long queues = %d %s, want 422 that names queue_name", w.Code, w.Body)
	}
	fits := h.key(many[:36]...)
	if w := h.ask(fits, "POST", "/v1/jobs/bulk", `{"action":"cancel","all":true}`); w.Code != 202 {
		t.Errorf("a filter of 36 long queues = %d %s, want 202", w.Code, w.Body)
	}
}

// operate does what servers do with operations, until none is left.
func (h *house) operate() {
	h.Helper()
	s, err := db.Open(h.Context(), h.url, db.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.Fatal(err)
	}
	defer s.Close()
	for {
		id, found, err := s.TakeOperation(h.Context(), "the test")
		if err != nil {
			h.Fatal(err)
		}
		if !found {
			return
		}
		if o, _, err := s.WorkOperation(h.Context(), job.Turn{ID: id, Holder: "the test"}); err != nil {
			h.Fatal(o, err)
		}
	}
}

// A key sees, lists and ends the operations whose filter is of its queues alone.
func TestBoundKeys_Operations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	some := h.key("mine.*", "spare")
	begin := func(filter string) (id int64) {
		t.Helper()
		if err := h.sql.QueryRow(t.Context(), `INSERT INTO outbox.operations (action, filter, principal, up_to_id) VALUES ('cancel', $1, 'config', 0) RETURNING id`, filter).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	var visible []int64
	for range 3 { // the newest last; pages of two
		for _, tt := range []struct {
			filter  string
			visible bool
		}{
			{`{"queue_name": "mine.a"}`, true}, {`{"queue_name": "theirs.b"}`, false}, {`{"kind": "k"}`, false}, {`{}`, false},
			{`{"queues": ["mine.x", "spare"]}`, true}, {`{"queues": ["mine.x", "theirs.b"]}`, false}, {`{"queues": ["*"]}`, false},
			{`{"queues": ["spare*"]}`, false},
		} {
			id := begin(tt.filter)
			if tt.visible {
				visible = append(visible, id)
			}
			path := fmt.Sprintf("/v1/operations/%d", id)
			w := h.ask(some, "GET", path, "")
			if got := w.Code == 200; got != tt.visible {
				t.Errorf("an operation on %s = %d %s, want it seen: %t", tt.filter, w.Code, w.Body, tt.visible)
			}
			if !tt.visible {
				none := h.ask(some, "GET", "/v1/operations/999999", "").Body.String()
				if said := regexp.MustCompile(`"(request_id|instance)":"[^"]*"`); said.ReplaceAllString(w.Body.String(), "") != said.ReplaceAllString(none, "") {
					t.Errorf("an operation on %s = %s, want what is said of none: %s", tt.filter, w.Body, none)
				}
			}
		}
	}
	var listed []int64
	cursor, next := "", regexp.MustCompile(`"next_cursor":"(\d+)"`)
	for range 20 {
		w := h.ask(some, "GET", "/v1/operations?limit=2"+cursor, "")
		for _, m := range regexp.MustCompile(`"id":(\d+)`).FindAllStringSubmatch(w.Body.String(), -1) {
			var id int64
			_, _ = fmt.Sscan(m[1], &id)
			listed = append(listed, id)
		}
		m := next.FindStringSubmatch(w.Body.String())
		if m == nil {
			break
		}
		cursor = "&cursor=" + m[1]
	}
	slices.Reverse(listed)
	if !slices.Equal(listed, visible) {
		t.Errorf("the list has %v, want %v", listed, visible)
	}
	// Whether there is one is not to be learnt from how long it takes: another works at it.
	held := begin(`{"queue_name": "theirs.b"}`)
	tx, err := h.sql.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.operations WHERE id = $1 FOR UPDATE`, held); err != nil {
		t.Fatal(err)
	}
	if w := h.ask(some, "POST", fmt.Sprintf("/v1/operations/%d/cancel", held), ""); w.Code != 404 {
		t.Errorf("cancel of another's operation that is worked at = %d %s, want 404 without a wait", w.Code, w.Body)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}
