package httpapi_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

// Each change by people over /v1 leaves its lines, with who made it in which request.
// What machines do, what changes nothing and what is refused leave none.
func TestAudit_EachChangeOverHTTPLeavesItsLines(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key, made, err := rookery.CreateKey(t.Context(), h.url, job.APIKey{Name: "ada", Scopes: []job.Scope{job.ScopeAdmin}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.sql.Exec(t.Context(), `INSERT INTO outbox.processes (id, role, host, pid) VALUES ('w1', 'worker', 'h', 1)`); err != nil {
		t.Fatal(err)
	}
	id, other := h.job("mail", ""), h.job("mail", "")
	const endpoint = "/v1/queues/mail/endpoint"
	at := func(format string) string { return fmt.Sprintf(format, id) }
	var lastID string // of what the last answer has
	ids := regexp.MustCompile(`"id":"?(\w+)`)
	for _, tt := range []struct {
		method, path, body string
		status             int
		lines              string
	}{
		{"POST", at("/v1/jobs/%d/redrive"), "", 409, ""},
		{"POST", at("/v1/jobs/%d/cancel"), "", 200, at("job.cancel %d mail")},
		{"POST", at("/v1/jobs/%d/cancel"), "", 409, ""},
		{"POST", at("/v1/jobs/%d/redrive"), "", 200, at("job.redrive %d mail")},
		{"POST", at("/v1/jobs/%d/clone"), "", 201, "job.clone ID mail"},
		{"POST", "/v1/jobs/bulk", fmt.Sprintf(`{"action":"cancel","ids":["%d","%d","4711"]}`, id, other), 200, "job.cancel 2 jobs "},
		{"POST", "/v1/jobs/bulk", `{"action":"cancel","filter":{"queue_name":"mail"},"dry_run":true}`, 200, ""},
		{"DELETE", at("/v1/jobs/%d"), "", 204, at("job.delete %d mail")},
		{"DELETE", at("/v1/jobs/%d"), "", 404, ""},
		{"POST", "/v1/queues/mail/pause", "", 200, "queue.pause mail mail"},
		{"POST", "/v1/queues/mail/pause", "", 200, ""},
		{"POST", "/v1/queues/mail/resume", "", 200, "queue.resume mail mail"},
		{"PATCH", "/v1/queues/mail", `{"window_size":7}`, 200, "queue.window mail mail"},
		{"PATCH", "/v1/queues/mail", `{"window_size":8,"retention_seconds":86400}`, 200, "queue.window mail mail, queue.retention mail mail"},
		{"PATCH", "/v1/queues/mail", `{"window_size":9,"retention_seconds":1}`, 422, ""},
		{"POST", "/v1/queues/mail/purge", `{"confirm":"mail"}`, 202, "operation.start ID mail"},
		{"POST", "/v1/operations/ID/cancel", "", 200, "operation.cancel ID mail"},
		{"POST", "/v1/jobs/bulk", `{"action":"cancel","filter":{"kind":"k"}}`, 202, "operation.start ID "},
		{"PUT", endpoint, `{"url":"https://example.com/a"}`, 201, "endpoint.set mail mail"},
		{"POST", endpoint + "/rotate", "", 200, "endpoint.rotate mail mail"},
		{"DELETE", endpoint, "", 204, "endpoint.delete mail mail"},
		{"POST", endpoint + "/test", "", 404, ""},
		{"POST", "/v1/workers/w1/quiet", `{"quiet":true}`, 200, "worker.quiet w1 "},
		{"POST", "/v1/keys", `{"name":"b","scopes":["worker"]}`, 201, "key.create ID "},
		{"DELETE", "/v1/keys/ID", "", 200, "key.revoke ID "},

		{"POST", "/v1/jobs", `{"queue_name":"mail"}`, 201, ""},
		{"POST", "/v1/jobs/batch", `{"jobs":[{"queue_name":"mail"}]}`, 201, ""},
		{"POST", "/v1/queues/mail/lease", `{"worker_id":"w1","max":1,"wait":"0s"}`, 503, ""}, // not_run: it is a handler only
		{"GET", "/v1/jobs", "", 200, ""},
	} {
		var before int64
		if err := h.sql.QueryRow(t.Context(), `SELECT coalesce(max(id), 0) FROM outbox.audit`).Scan(&before); err != nil {
			t.Fatal(err)
		}
		w := h.ask(key, tt.method, strings.Replace(tt.path, "ID", lastID, 1), tt.body)
		if m := ids.FindStringSubmatch(w.Body.String()); m != nil {
			lastID = m[1]
		}
		var got string
		if err := h.sql.QueryRow(t.Context(), `SELECT coalesce(string_agg(concat_ws(' ', action, target, queue_name), ', ' ORDER BY id), '') FROM outbox.audit
			WHERE id > $1 AND principal = $2 AND request_id = $3 AND host(ip) = '192.0.2.1'`, before, "key:"+made.ID, w.Header().Get("X-Request-Id")).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Replace(tt.lines, "ID", lastID, 1), got); diff != "" || w.Code != tt.status {
			t.Errorf("%s %s %s = %d %s, want %d; lines (-want +got):\n%s", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status, diff)
		}
		var all int
		if err := h.sql.QueryRow(t.Context(), `SELECT count(*) FROM outbox.audit WHERE id > $1`, before).Scan(&all); err != nil || all != strings.Count(got, ".") {
			t.Errorf("%s %s left %d lines, want %q; %v", tt.method, tt.path, all, tt.lines, err)
		}
	}
}
