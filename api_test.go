package rookery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// client asks the API of a whole service, on real servers, and compares each answer
// with what the OpenAPI document says of it.
type client struct {
	*testing.T
	handler http.Handler
	doc     *openapi3.T
	seen    map[string]bool // "operation status"
}

func newClient(t *testing.T, config rookery.Config) *client {
	t.Helper()
	svc, err := rookery.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	api, err := svc.API(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return clientOf(t, api.Handler())
}

// clientOf asks a handler that leads to an API.
func clientOf(t *testing.T, handler http.Handler) *client {
	t.Helper()
	var err error
	c := &client{T: t, handler: handler, seen: map[string]bool{}}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://localhost/v1/openapi.json", nil)
	c.handler.ServeHTTP(w, r)
	if c.doc, err = openapi3.NewLoader().LoadFromData(w.Body.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := c.doc.Validate(t.Context()); err != nil {
		t.Errorf("the document is not OpenAPI: %v", err)
	}
	for _, s := range c.doc.Components.Schemas {
		strict(s)
	}
	for _, path := range c.doc.Paths.Map() {
		for _, op := range path.Operations() {
			for _, response := range op.Responses.Map() {
				for _, media := range response.Value.Content {
					strict(media.Schema)
				}
			}
		}
	}
	return c
}

// strict has a schema refuse fields that it does not name, so that a test finds them.
// Clients must not: a later version may have more.
func strict(ref *openapi3.SchemaRef) {
	if ref == nil || ref.Value == nil || ref.Ref != "" {
		return
	}
	s := ref.Value
	if no := false; len(s.Properties) > 0 && s.AdditionalProperties.Schema == nil {
		s.AdditionalProperties.Has = &no
	}
	strict(s.Items)
	for _, of := range s.Properties {
		strict(of)
	}
	for _, of := range s.OneOf {
		strict(of)
	}
}

// call sends a request and checks that its answer has the status, and is one that the
// operation may give. It returns the answer's body.
func (c *client) call(operation, method, pattern, target, body string, status int) []byte {
	c.Helper()
	op := c.doc.Paths.Value(pattern).GetOperation(method)
	if op == nil || op.OperationID != operation {
		c.Fatalf("the document has no %s at %s %s", operation, method, pattern)
	}
	r := httptest.NewRequest(method, "http://localhost"+target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	if w.Code != status {
		c.Errorf("%s %s = %d %s, want %d", method, target, w.Code, w.Body, status)
	}
	c.seen[fmt.Sprint(operation, " ", w.Code)] = true
	response := op.Responses.Status(w.Code)
	if response == nil {
		if response = op.Responses.Default(); response == nil || w.Code < 400 {
			c.Errorf("%s %s = %d, which the document does not know", method, target, w.Code)
			return w.Body.Bytes()
		}
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	media := response.Value.Content[kind]
	if media == nil {
		if len(response.Value.Content) > 0 || w.Body.Len() > 0 {
			c.Errorf("%s %s = %d of type %q, which the document does not know", method, target, w.Code, kind)
		}
		return w.Body.Bytes()
	}
	if strings.HasSuffix(kind, "json") {
		var v any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			c.Fatalf("%s %s: %v", method, target, err)
		}
		if err := media.Schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			c.Errorf("%s %s = %s is not what the document says: %v", method, target, w.Body, err)
		}
	}
	return w.Body.Bytes()
}

// The answers of every operation, good and bad, are what the document says.
func TestAPI_AnswersAsItsDocumentSays(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	c := newClient(t, rookery.Config{DatabaseURL: url, RedisURL: devtest.Redis(t), Spool: rookery.Spool{On: true}})
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	id := func(answer []byte) string {
		var v struct{ ID json.Number }
		if err := json.Unmarshal(answer, &v); err != nil || v.ID == "" {
			t.Fatalf("answer %s has no id: %v", answer, err)
		}
		return v.ID.String()
	}
	elsewhere := []string{ // other tests have these
		"insertJob 202", "insertJob 503", "insertJobs 202", "insertJobs 503", "getJob 304", "getSpooled 200", "readyz 503", "cancelJob 404", "redriveJob 404", "getOperation 304",
		"leaseJobs 200", "ackLease 200", "nackLease 200", "extendLease 200", "releaseLease 200", "settleLeases 200", "beatLeases 200", "exportEvents 429", "streamEvents 429",
	}
	const (
		jobs, one, queue = "/v1/jobs", "/v1/jobs/{id}", "/v1/queues/{name}"
		batch, spooled   = "/v1/jobs/batch", "/v1/spool/{id}"
	)
	a := id(c.call("insertJob", "POST", jobs, jobs, `{"queue_name":"mail","kind":"welcome","headers":{"h":1}}`, 201))
	c.call("insertJob", "POST", jobs, jobs, `{"priority":-1}`, 422)
	c.call("insertJobs", "POST", batch, batch, `{"jobs":[{"run_at":"2999-01-01T00:00:00Z"},{}]}`, 201)
	c.call("insertJobs", "POST", batch, batch, `{"jobs":[]}`, 422)
	exec(`INSERT INTO outbox.queues (name) VALUES ('mail')`)
	exec(`INSERT INTO outbox.processes (id, role, epochs, redis_at) VALUES ('r1', 'relay', '{"mail": 1}', now()), ('w1', 'worker', '{}', NULL)`)
	exec(`INSERT INTO outbox.attempts (job_id, attempt_count, outcome, error) VALUES (` + a + `, 1, 'fail', '{"message": "no"}')`)

	c.call("getJob", "GET", one, jobs+"/"+a+"?include=payload", "", 200)
	c.call("getJob", "GET", one, jobs+"/4711", "", 404)
	c.call("listJobs", "GET", jobs, jobs+"?limit=1", "", 200)
	for _, status := range []string{"ready", "scheduled", "dead", "out", "completed"} {
		c.call("listJobs", "GET", jobs, jobs+"?status="+status, "", 200)
	}
	c.call("listJobs", "GET", jobs, jobs+"?status=lost", "", 400)

	c.call("redriveJob", "POST", one+"/redrive", jobs+"/"+a+"/redrive", "", 409)
	c.call("deleteJob", "DELETE", one, jobs+"/"+a, "", 409)
	c.call("cancelJob", "POST", one+"/cancel", jobs+"/"+a+"/cancel", "", 200)
	c.call("cancelJob", "POST", one+"/cancel", jobs+"/"+a+"/cancel", "{}", 409)
	c.call("redriveJob", "POST", one+"/redrive", jobs+"/"+a+"/redrive", "", 200)
	b := id(c.call("cloneJob", "POST", one+"/clone", jobs+"/"+a+"/clone", "", 201))
	c.call("cancelJob", "POST", one+"/cancel", jobs+"/"+b+"/cancel", "", 200)
	c.call("getJob", "GET", one, jobs+"/"+b, "", 200)
	c.call("deleteJob", "DELETE", one, jobs+"/"+b, "", 204)
	c.call("deleteJob", "DELETE", one, jobs+"/"+b, "", 404)
	c.call("cloneJob", "POST", one+"/clone", jobs+"/"+b+"/clone", "", 404)

	c.call("listQueues", "GET", "/v1/queues", "/v1/queues", "", 200)
	c.call("getQueue", "GET", queue, "/v1/queues/mail", "", 200)
	c.call("getQueue", "GET", queue, "/v1/queues/nowhere", "", 404)
	c.call("patchQueue", "PATCH", queue, "/v1/queues/mail", `{"window_size":7}`, 200)
	c.call("patchQueue", "PATCH", queue, "/v1/queues/mail", `{"retention_dead_seconds":3600}`, 200)
	c.call("patchQueue", "PATCH", queue, "/v1/queues/mail", `{"window_size":0}`, 422)
	c.call("pauseQueue", "POST", queue+"/pause", "/v1/queues/mail/pause", "", 200)
	if q := string(c.call("getQueue", "GET", queue, "/v1/queues/mail", "", 200)); !strings.Contains(q, `"paused":true,"window_size":7,"retention_seconds":null,"retention_dead_seconds":3600`) {
		t.Errorf("the queue = %s, want it paused with a window of 7", q)
	}
	c.call("resumeQueue", "POST", queue+"/resume", "/v1/queues/mail/resume", "", 200)
	c.endpoints()
	c.call("listWorkers", "GET", "/v1/workers", "/v1/workers", "", 200)
	c.call("listWorkers", "GET", "/v1/workers", "/v1/workers?role=cook", "", 400)
	c.call("getStats", "GET", "/v1/stats", "/v1/stats", "", 200)
	c.call("getScaler", "GET", "/v1/stats/{name}/scaler", "/v1/stats/mail/scaler", "", 200)
	c.call("streamEvents", "GET", "/v1/events", "/v1/events", "", 200)
	c.call("streamEvents", "GET", "/v1/events", "/v1/events?status=dispatched", "", 400)
	c.call("exportEvents", "GET", "/v1/events/export", "/v1/events/export", "", 200)
	c.call("exportEvents", "GET", "/v1/events/export", "/v1/events/export?job_id=0", "", 400)
	made := c.call("createKey", "POST", "/v1/keys", "/v1/keys", `{"name":"ci","scopes":["jobs:write"],"queues":["mail"]}`, 201)
	var key struct{ ID string }
	if err := json.Unmarshal(made, &key); err != nil || key.ID == "" {
		t.Fatalf("answer %s has no id: %v", made, err)
	}
	c.call("createKey", "POST", "/v1/keys", "/v1/keys", `{"name":"ci","scopes":["all"]}`, 422)
	c.call("listKeys", "GET", "/v1/keys", "/v1/keys?limit=1", "", 200)
	c.call("revokeKey", "DELETE", "/v1/keys/{id}", "/v1/keys/"+key.ID, "", 200)
	c.call("revokeKey", "DELETE", "/v1/keys/{id}", "/v1/keys/aaaaaaaaaaaaa", "", 404)
	if lines := string(c.call("listAudit", "GET", "/v1/audit", "/v1/audit", "", 200)); !strings.Contains(lines, `"job.delete"`) || !strings.Contains(lines, `"queue.window"`) || !strings.Contains(lines, `"key.revoke"`) {
		t.Errorf("the audit = %s, want the changes that were made", lines)
	}
	c.callBulk()
	for _, verb := range []string{"complete", "fail", "extend"} {
		at := "/v1/callback/" + verb
		c.call(verb+"Callback", "POST", at, at, `{}`, 401)
		elsewhere = append(elsewhere, verb+"Callback 200", verb+"Callback 409", verb+"Callback 429")
	}
	c.call("getSpooled", "GET", spooled, "/v1/spool/5b0c0000-0000-4000-8000-000000000000", "", 404)
	c.call("livez", "GET", "/livez", "/livez", "", 200)
	c.call("readyz", "GET", "/readyz", "/readyz", "", 200)
	c.call("getMetrics", "GET", "/metrics", "/metrics", "", 200)
	c.call("getOpenAPI", "GET", "/v1/openapi.json", "/v1/openapi.json", "", 200)
	c.call("getDocs", "GET", "/v1/docs", "/v1/docs", "", 200)
	c.sawAll(elsewhere...)
}

// sawAll checks that every answer of the document was given, but for those that other
// tests give.
func (c *client) sawAll(elsewhere ...string) {
	c.Helper()
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				if answer := op.OperationID + " " + status; status != "default" && !c.seen[answer] && !slices.Contains(elsewhere, answer) {
					c.Errorf("nothing was answered with %s (%s %s)", answer, method, path)
				}
			}
		}
	}
}
