package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// The queues of the matrix: each key is for one of them, and has every scope but admin,
// which no such key can have.
const mine, theirs = "mine.a", "theirs.b"

// cell is what a route makes of a key that is for some queues: by default it takes none
// such. Paths have %q for a queue, %d for a
// job of it and %o for an operation on it.
type cell struct {
	open      bool   // needs no key
	elsewhere bool   // the answer does not end; another test looks at it
	admin     bool   // takes the scope admin, which is for every queue
	unnamed   bool   // says nothing of any queue
	filtered  bool   // shows what is of the key's queues, and no more
	path      string // "": the route's own
	body      string // may have %q
	own       int    // status for the key's own queue
	foreign   int    // and for another's
	fresh     string // the status in which the job has to be, if other than queued
}

// matrix has a cell for every route. Who adds a route says here what keys that are for
// some queues may do with it.
func matrix() map[string]cell {
	return map[string]cell{
		"GET /livez": {open: true}, "GET /readyz": {open: true}, "GET /v1/openapi.json": {open: true}, "GET /v1/docs": {open: true},
		"GET /": {open: true}, "GET /ui": {open: true}, "GET /ui/*": {elsewhere: true}, "POST /ui/*": {elsewhere: true}, "GET /ui/stream": {elsewhere: true}, // the dashboard's TestBoundKeys_EveryPage
		"POST /v1/callback/complete": {open: true}, "POST /v1/callback/fail": {open: true}, "POST /v1/callback/extend": {open: true}, // by an attempt's token
		"GET /metrics": {}, "POST /v1/workers/:id/quiet": {},
		"GET /v1/workers": {filtered: true}, "GET /v1/operations": {filtered: true},
		"POST /v1/jobs/bulk":             {body: `{"action":"cancel","filter":{"queue_name":"%q"}}`, own: 202, foreign: 403}, // by ids: TestBoundKeys_Bulk
		"GET /v1/operations/:id":         {path: "/v1/operations/%o", own: 200, foreign: 404},
		"POST /v1/operations/:id/cancel": {path: "/v1/operations/%o/cancel", own: 200, foreign: 404},
		"GET /v1/keys":                   {admin: true}, "POST /v1/keys": {admin: true}, "DELETE /v1/keys/:id": {admin: true}, "GET /v1/audit": {admin: true},
		"GET /v1/spool/:id": {unnamed: true, path: "/v1/spool/01890a5d-ac96-774b-bcce-b302099a8057", own: 404},

		"GET /v1/events": {elsewhere: true}, "GET /v1/events/export": {elsewhere: true}, // TestEvents_ShowAKeyItsQueues
		"GET /v1/queues": {filtered: true}, "GET /v1/stats": {filtered: true}, "GET /v1/jobs": {filtered: true},
		"POST /v1/jobs":                         {body: `{"queue_name":"%q"}`, own: 201, foreign: 403},
		"POST /v1/jobs/batch":                   {body: `{"jobs":[{"queue_name":"%q"}]}`, own: 201, foreign: 403},
		"GET /v1/jobs/:id":                      {path: "/v1/jobs/%d?include=payload", own: 200, foreign: 404},
		"POST /v1/jobs/:id/cancel":              {path: "/v1/jobs/%d/cancel", own: 200, foreign: 404},
		"POST /v1/jobs/:id/redrive":             {path: "/v1/jobs/%d/redrive", own: 200, foreign: 404, fresh: "cancelled"},
		"POST /v1/jobs/:id/clone":               {path: "/v1/jobs/%d/clone", own: 201, foreign: 404},
		"DELETE /v1/jobs/:id":                   {path: "/v1/jobs/%d", own: 204, foreign: 404, fresh: "cancelled"},
		"GET /v1/queues/:name":                  {path: "/v1/queues/%q", own: 200, foreign: 403},
		"POST /v1/queues/:name/pause":           {path: "/v1/queues/%q/pause", own: 200, foreign: 403},
		"POST /v1/queues/:name/resume":          {path: "/v1/queues/%q/resume", own: 200, foreign: 403},
		"POST /v1/queues/:name/purge":           {path: "/v1/queues/%q/purge", body: `{"confirm":"%q"}`, own: 202, foreign: 403},
		"GET /v1/queues/:name/endpoint":         {path: "/v1/queues/%q/endpoint", own: 404, foreign: 403},
		"PUT /v1/queues/:name/endpoint":         {path: "/v1/queues/%q/endpoint", body: `{"url":"https://example.com/%q"}`, own: 201, foreign: 403},
		"DELETE /v1/queues/:name/endpoint":      {path: "/v1/queues/%q/endpoint", own: 404, foreign: 403},
		"POST /v1/queues/:name/endpoint/test":   {path: "/v1/queues/%q/endpoint/test", own: 404, foreign: 403},
		"POST /v1/queues/:name/endpoint/rotate": {path: "/v1/queues/%q/endpoint/rotate", own: 404, foreign: 403},
		"GET /v1/stats/:name/scaler":            {path: "/v1/stats/%q/scaler", own: 200, foreign: 403},
		"POST /v1/queues/:name/lease":           {path: "/v1/queues/%q/lease", body: `{"worker_id":"w1","max":1,"wait":"0s"}`, own: 503, foreign: 403}, // not_run: it is a handler only
		"POST /v1/leases/:id/ack":               {unnamed: true, body: `{"lease_token":"none"}`, own: 404},
		"POST /v1/leases/:id/nack":              {unnamed: true, body: `{"lease_token":"none","error":{"message":"x"}}`, own: 404},
		"POST /v1/leases/:id/extend":            {unnamed: true, body: `{"lease_token":"none","lease":"30s"}`, own: 404},
		"POST /v1/leases/:id/release":           {unnamed: true, body: `{"lease_token":"none"}`, own: 404},
		"POST /v1/leases/batch":                 {unnamed: true, body: `{"ops":[{"op":"ack","lease_id":"none","lease_token":"none"}]}`, own: 200},
		"POST /v1/workers/:id/heartbeat":        {unnamed: true, body: `{"leases":[]}`, own: 200},
		"PATCH /v1/queues/:name":                {path: "/v1/queues/%q", body: `{"window_size":7}`, own: 200, foreign: 403},
	}
}

// house is a whole service on servers of the test's own, that lets nobody in without a key.
type house struct {
	*testing.T
	url     string
	handler http.Handler
	sql     *pgx.Conn
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, url: devtest.Postgres(t)}
	svc, err := rookery.Open(t.Context(), rookery.Config{
		DatabaseURL: h.url, RedisURL: devtest.Redis(t), RequireKey: true, Spool: rookery.Spool{On: true}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	api, err := svc.API(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.handler = api.Handler()
	if h.sql, err = pgx.Connect(t.Context(), h.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.sql.Close(context.Background()) })
	return h
}

// key makes a key with every scope but admin for some queues.
func (h *house) key(queues ...string) string {
	h.Helper()
	text, _, err := rookery.CreateKey(h.Context(), h.url, job.APIKey{Name: "matrix", Queues: queues, Scopes: job.Scopes()[:5]})
	if err != nil {
		h.Fatal(err)
	}
	return text
}

func (h *house) ask(key, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

// job inserts a job and has it in a status.
func (h *house) job(queue, status string) int64 {
	h.Helper()
	var id int64
	if err := h.sql.QueryRow(h.Context(), `SELECT outbox.enqueue('k', '{}', queue_name => $1)`, queue).Scan(&id); err != nil {
		h.Fatal(err)
	}
	if status == "cancelled" {
		if _, err := h.sql.Exec(h.Context(), `SELECT outbox.cancel($1)`, id); err != nil {
			h.Fatal(err)
		}
	}
	if _, err := h.sql.Exec(h.Context(), `INSERT INTO outbox.queues (name) VALUES ($1) ON CONFLICT DO NOTHING`, queue); err != nil {
		h.Fatal(err)
	}
	return id
}

// operation begins one on a queue, of which nobody takes it up.
func (h *house) operation(queue string) (id int64) {
	h.Helper()
	if err := h.sql.QueryRow(h.Context(), `INSERT INTO outbox.operations (action, filter, principal, up_to_id)
		VALUES ('cancel', jsonb_build_object('queue_name', $1::text), 'config', 0) RETURNING id`, queue).Scan(&id); err != nil {
		h.Fatal(err)
	}
	return id
}

// worker has said that it serves these queues.
func (h *house) worker(id string, queues ...string) {
	h.Helper()
	if _, err := h.sql.Exec(h.Context(), `INSERT INTO outbox.processes (id, role, host, pid, epochs)
		VALUES ($1, 'worker', 'h', 1, (SELECT jsonb_object_agg(q.name, 1) FROM unnest($2::text[]) AS q (name)))`, id, queues); err != nil {
		h.Fatal(err)
	}
}

// what is everything that a change leaves behind.
func (h *house) what() string {
	h.Helper()
	var text string
	if err := h.sql.QueryRow(h.Context(), `SELECT (SELECT string_agg(j.id || j.status || j.queue_name, ' ' ORDER BY j.id) FROM outbox.jobs AS j)
		|| (SELECT string_agg(q.name || q.paused || q.window_size, ' ' ORDER BY q.name) FROM outbox.queues AS q)
		|| coalesce((SELECT string_agg(o.id || o.status, ' ' ORDER BY o.id) FROM outbox.operations AS o), '')`).Scan(&text); err != nil {
		h.Fatal(err)
	}
	return text
}

// TestBoundKeys_EveryRoute tries every route of the router with a key for one queue, on
// that queue and on another. A route that the matrix does not have fails.
func TestBoundKeys_EveryRoute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key, cells, there := h.key("mine.*"), matrix(), map[string]bool{}
	h.worker("worker-of-both", mine, theirs)
	h.worker("worker-of-"+theirs, theirs)
	router, ok := h.handler.(*echo.Echo)
	if !ok {
		t.Fatalf("the handler is a %T", h.handler)
	}
	routes := router.Routes() // in no order; an endpoint is to be asked for before there is one
	slices.SortFunc(routes, func(a, b *echo.Route) int { return strings.Compare(a.Method+a.Path, b.Method+b.Path) })
	for _, route := range routes {
		name := route.Method + " " + route.Path
		if route.Method == http.MethodHead {
			name = "GET " + route.Path
		}
		c, listed := cells[name]
		if there[name] = true; !listed {
			t.Errorf("%s is not in the matrix: say what a key that is for some queues may do with it", name)
			continue
		}
		if !c.elsewhere {
			h.try(key, route.Method, route.Path, c)
		}
	}
	for name := range cells {
		if !there[name] {
			t.Errorf("the matrix has %s, which is no route", name)
		}
	}
}

func (h *house) try(key, method, path string, c cell) {
	h.Helper()
	operations := map[string]int64{}
	if strings.Contains(path, "operations") {
		operations[mine], operations[theirs] = h.operation(mine), h.operation(theirs)
	}
	own, foreign := h.job(mine, c.fresh), h.job(theirs, c.fresh)
	on := func(queue string, id int64) *httptest.ResponseRecorder {
		target := c.path
		if target == "" {
			target = strings.NewReplacer(":id", fmt.Sprint(id), ":name", queue).Replace(path)
		}
		fill := strings.NewReplacer("%q", queue, "%d", fmt.Sprint(id), "%o", fmt.Sprint(operations[queue]))
		return h.ask(key, method, fill.Replace(target), fill.Replace(c.body))
	}
	before := h.what()
	w := on(theirs, foreign)
	if h.what() != before && c.foreign != 0 {
		h.Errorf("%s %s on another's queue changed something", method, path)
	}
	switch {
	case c.open:
	case c.admin, c.own == 0 && !c.filtered:
		if w.Code != http.StatusForbidden {
			h.Errorf("%s %s = %d %s, want 403: it is for keys of every queue", method, path, w.Code, w.Body)
		}
	case c.unnamed:
		if w.Code != c.own {
			h.Errorf("%s %s = %d %s, want %d", method, path, w.Code, w.Body, c.own)
		}
	case c.filtered:
		if w.Code != 200 || strings.Contains(w.Body.String(), theirs) || method != http.MethodHead && !strings.Contains(w.Body.String(), mine) {
			h.Errorf("%s %s = %d %s, want what is of %s only", method, path, w.Code, w.Body, mine)
		}
	default:
		if w.Code != c.foreign || w.Code == 404 && strings.Contains(w.Body.String(), theirs) {
			h.Errorf("%s %s on another's queue = %d %s, want %d", method, path, w.Code, w.Body, c.foreign)
		}
		if w := on(mine, own); w.Code != c.own {
			h.Errorf("%s %s on its own queue = %d %s, want %d", method, path, w.Code, w.Body, c.own)
		}
	}
}

// A list shows a key its own queues' jobs, page by page, in every order; neither a
// cursor of its own nor one of another key's shows more.
func TestBoundKeys_Lists(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	some, one, all := h.key("mine.*", "spare"), h.key(mine), h.key()
	for range 7 {
		h.job(theirs, "")
		h.job(mine, "")
		h.job(theirs, "cancelled")
		h.job("mine.b", "cancelled")
	}
	cursorOf := regexp.MustCompile(`"next_cursor":"([^"]+)"`)
	walk := func(key, query string) (seen int) {
		t.Helper()
		cursor := ""
		for range 40 {
			w := h.ask(key, "GET", "/v1/jobs?limit=2"+query+cursor, "")
			if w.Code != 200 || strings.Contains(w.Body.String(), theirs) {
				t.Fatalf("GET %s%s = %d %s, want no job of %s", query, cursor, w.Code, w.Body, theirs)
			}
			seen += strings.Count(w.Body.String(), `"queue_name"`)
			m := cursorOf.FindStringSubmatch(w.Body.String())
			if m == nil {
				return seen
			}
			cursor = "&cursor=" + m[1]
		}
		t.Fatalf("the list %s does not end", query)
		return 0
	}
	for _, tt := range []struct {
		key, query string
		want       int
	}{
		{some, "", 14}, {one, "", 7}, {some, "&status=cancelled", 7}, {some, "&status=queued", 7}, {one, "&status=ready", 7},
		{some, "&status=ready&queue_name=" + mine, 7}, {some, "&status=dead", 0}, {some, "&queue_name=mine.b", 7}, {some, "&status=out", 0},
	} {
		if got := walk(tt.key, tt.query); got != tt.want {
			t.Errorf("GET %q shows %d jobs, want %d", tt.query, got, tt.want)
		}
	}
	if w := h.ask(some, "GET", "/v1/jobs?status=ready", ""); w.Code != 400 || !strings.Contains(w.Body.String(), "queue_name") {
		t.Errorf("ready jobs of several queues = %d %s, want 400 that names queue_name", w.Code, w.Body)
	}
	if w := h.ask(some, "GET", "/v1/jobs?queue_name="+theirs, ""); w.Code != 403 {
		t.Errorf("another's queue = %d, want 403", w.Code)
	}
	// The cursor of a key that sees all.
	m := cursorOf.FindStringSubmatch(h.ask(all, "GET", "/v1/jobs?limit=2", "").Body.String())
	if m == nil {
		t.Fatal("the list of all jobs has one page")
	}
	if w := h.ask(some, "GET", "/v1/jobs?limit=200&cursor="+m[1], ""); w.Code != 200 || strings.Contains(w.Body.String(), theirs) || !strings.Contains(w.Body.String(), mine) {
		t.Errorf("another key's cursor = %d %s, want its own queues' jobs", w.Code, w.Body)
	}
}
