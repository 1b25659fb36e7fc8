package httpapi

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"
)

// withEverything is a server with every route there is.
func withEverything(t *testing.T) *Server {
	t.Helper()
	f := &fakeAdmin{}
	return newServer(t, &fakeJobs{}, Options{Keys: []string{keyA}, Admin: &Admin{Look: f, As: f.as}, Workers: &fakeWorkers{}, Bulk: &Bulk{&fakeBulk{}, &fakeBulk{}, &fakeBulk{}}, Spool: &fakeSpool{}, Keyed: &fakeKeyed{}, Endpoints: &fakeEndpoints{}, Events: &fakeEvents{}, Callbacks: &fakeCallbacks{}, Pull: &fakePull{}})
}

// The document has the routes of the server, and no others, whatever the server has.
func TestOpenAPI_HasTheRoutes(t *testing.T) {
	t.Parallel()
	for _, s := range []*Server{withEverything(t), newServer(t, &fakeJobs{}, Options{})} {
		e, ok := s.handler.(*echo.Echo)
		if !ok {
			t.Fatalf("the handler is a %T, want an *echo.Echo", s.handler)
		}
		var routes, described []string
		for _, r := range e.Routes() {
			if r.Method != http.MethodHead { // as GET
				routes = append(routes, r.Method+" "+regexp.MustCompile(`:(\w+)`).ReplaceAllString(r.Path, "{$1}"))
			}
		}
		var r reference
		if err := json.Unmarshal(s.api, &r); err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for path, methods := range r.Paths {
			for method, op := range methods {
				described = append(described, strings.ToUpper(method)+" "+path)
				if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 {
					t.Errorf("%s %s needs an operationId of its own, a summary and one tag: %+v", method, path, op)
				}
				ids[op.OperationID] = true
			}
		}
		slices.Sort(routes)
		slices.Sort(described)
		if diff := cmp.Diff(routes, described); diff != "" {
			t.Errorf("(-routes +document):\n%s", diff)
		}
	}
}

// Both are there for whoever has no key, and the page runs nothing.
func TestOpenAPI_IsOpenToAll(t *testing.T) {
	t.Parallel()
	s := withEverything(t)
	doc := get(s, "/v1/openapi.json")
	if doc.Code != http.StatusOK || !strings.HasPrefix(doc.Header().Get("Content-Type"), "application/json") || !json.Valid(doc.Body.Bytes()) {
		t.Errorf("document = %d %.100s", doc.Code, doc.Body)
	}
	w := get(s, "/v1/docs")
	html := w.Body.String()
	for _, want := range []string{`id="listJobs"`, "/v1/queues/{name}/pause", `id="schema-Problem"`, "may be absent", "queued | dispatched | running"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	if w.Code != http.StatusOK || strings.Contains(html, "<script") || strings.Contains(html, "style=") || regexp.MustCompile(`(src|href)="(https?:)?//`).MatchString(html) ||
		!strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "style-src 'sha256-") {
		t.Errorf("page = %d under %q, want it without scripts and foreign addresses", w.Code, policy)
	}
}

func TestMerge_RefusesWhatStandsTwice(t *testing.T) {
	t.Parallel()
	for _, part := range []string{`{"openapi":"3.1.0"}`, `{"info":{"title":"x"}}`, `{"info":"x"}`, `{"tags":{}}`} {
		whole := map[string]any{"openapi": "3.1.0", "info": map[string]any{"title": "a"}, "tags": []any{}}
		add := map[string]any{}
		if err := json.Unmarshal([]byte(part), &add); err != nil {
			t.Fatal(err)
		}
		if err := merge(whole, add); err == nil {
			t.Errorf("merge(%s) = nil, want an error", part)
		}
	}
	whole := map[string]any{"paths": map[string]any{"/a": map[string]any{"get": 1}}, "tags": []any{1}}
	err := merge(whole, map[string]any{"paths": map[string]any{"/a": map[string]any{"post": 2}}, "tags": []any{2}})
	want := map[string]any{"paths": map[string]any{"/a": map[string]any{"get": 1, "post": 2}}, "tags": []any{1, 2}}
	if diff := cmp.Diff(want, whole); err != nil || diff != "" {
		t.Errorf("merge = %v (-want +got):\n%s", err, diff)
	}
}
