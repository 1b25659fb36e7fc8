package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// A key is made at the command line, does what its scopes and queues allow, and is
// refused once it is revoked; the audit has it all, and no log has the key.
func TestKeys_OnTheWholeWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	create := func(args ...string) (text string, header []string) {
		t.Helper()
		text = strings.TrimSpace(w.mustCLI(append([]string{"keys", "create"}, args...)...))
		return text, []string{"Authorization", "Bearer " + text}
	}
	writer, asWriter := create("--name", "web", "--scope", "jobs:write", "--queue", queue[:2]+"*", "--expires", "1d")
	_, asAdmin := create("--name", "ops", "--scope", "admin")
	id := strings.Split(writer, "_")[1]
	api, base := w.serve("ROOKERY_REQUIRE_KEY=true", "ROOKERY_LOG_LEVEL=debug")

	wants := func(want int, method, path, body string, header []string) string {
		t.Helper()
		status, text := call(t, method, base+path, body, header...)
		if status != want {
			t.Errorf("%s %s = %d %s, want %d", method, path, status, text, want)
		}
		return text
	}
	wants(401, http.MethodPost, "/v1/jobs", job(`"payload": {}`), nil)
	w.post(base, job(`"payload": {}`), asWriter...)
	wants(403, http.MethodPost, "/v1/jobs", `{"queue_name": "another"}`, asWriter)
	wants(403, http.MethodGet, "/v1/queues", "", asWriter)
	wants(403, http.MethodPost, "/v1/keys", `{"name": "more", "scopes": ["admin"]}`, asWriter)
	made := wants(201, http.MethodPost, "/v1/keys", `{"name": "more", "scopes": ["jobs:read"]}`, asAdmin)
	var third struct{ ID, Key string }
	decode(t, made, &third)
	wants(200, http.MethodGet, "/v1/queues", "", []string{"Authorization", "Bearer " + third.Key})

	for _, text := range []string{wants(200, http.MethodGet, "/v1/keys", "", asAdmin), w.mustCLI("keys", "list"), w.mustCLI("keys", "list", "--json")} {
		if !strings.Contains(text, id) || !strings.Contains(text, third.ID) || strings.Contains(text, writer[len(writer)-50:]) {
			t.Errorf("the list of keys = %s, want them without secrets", text)
		}
	}
	w.mustCLI("keys", "revoke", id)
	devtest.Until(t, patience, "the revoked key to be refused", func() (bool, error) {
		status, text := call(t, http.MethodPost, base+"/v1/jobs", job(`"payload": {}`), asWriter...)
		if status == http.StatusCreated {
			var d document
			decode(t, text, &d)
			w.committed = append(w.committed, d.ID)
		}
		return status == http.StatusUnauthorized, nil
	})
	if code, _, stderr := w.cli("keys", "revoke", writer); code != 2 || strings.Contains(stderr, writer) {
		t.Errorf("keys revoke of a whole key ended with %d and said %s, want 2 and not the key", code, stderr)
	}
	if code, _, _ := w.cli("keys", "create", "--name", "x", "--scope", "root"); code != 2 {
		t.Errorf("keys create with an unknown scope ended with %d, want 2", code)
	}
	audit := wants(200, http.MethodGet, "/v1/audit", "", asAdmin)
	for _, want := range []string{`"principal":"cli:`, `"action":"key.revoke","target":"` + id + `"`, `"principal":"key:`, `"ip":"127.0.0.1"`} {
		if !strings.Contains(audit, want) {
			t.Errorf("GET /v1/audit = %s, want %s in it", audit, want)
		}
	}
	api.terminate(30 * time.Second)
	for _, secret := range []string{writer, third.Key} {
		if strings.Contains(api.err.String(), secret[len(secret)-50:]) || strings.Contains(audit, secret[len(secret)-50:]) {
			t.Error("a log or the audit has the secret of a key")
		}
	}
	if n := w.count(`SELECT count(*) FROM outbox.api_keys WHERE last_used_at IS NOT NULL`); n != 3 {
		t.Errorf("%d keys were noted as used when the server ended, want 3", n)
	}
}

// The server is killed between the commit and its answer; the client, who knows nothing,
// sends the request again and is told of the jobs that are there.
func TestIdempotencyKey_SurvivesACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	first, base := w.serve("ROOKERY_FAILPOINT=api.after_keyed")
	body := `{"jobs": [` + job(`"payload": {}`) + `,` + job(`"payload": {}`) + `]}`
	send := func(base string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/jobs/batch", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "order 7")
		return (&http.Client{Timeout: 30 * time.Second}).Do(req)
	}
	if res, err := send(base); err == nil {
		_ = res.Body.Close()
		t.Fatalf("the first answer = %d, want none", res.StatusCode)
	}
	first.waitKilled(patience)
	if n := w.count(`SELECT count(*) FROM outbox.jobs`); n != 2 {
		t.Fatalf("%d jobs after the crash, want the 2 that were committed", n)
	}
	_, base = w.serve()
	status, header, text := request(t, http.MethodPost, base+"/v1/jobs/batch", body, "Idempotency-Key", "order 7")
	var batch struct{ Jobs []document }
	if decode(t, text, &batch); status != http.StatusCreated || header.Get("Idempotency-Replayed") != "true" || len(batch.Jobs) != 2 {
		t.Fatalf("the same again = %d, replayed %q, %s, want 201, true and two jobs", status, header.Get("Idempotency-Replayed"), text)
	}
	w.committed = append(w.committed, batch.Jobs[0].ID, batch.Jobs[1].ID)
	if status, text := call(t, http.MethodPost, base+"/v1/jobs", job(`"payload": {}`), "Idempotency-Key", "order 7"); status != http.StatusUnprocessableEntity {
		t.Errorf("another body under the key = %d %s, want 422", status, text)
	}
	w.worker(5)
	w.verify(patience, allowance{})
}
