package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A server is killed while it changes something for a client: after the kill there are
// both the change and its line, or neither. db's own test goes through all changes.
func TestAudit_ItsServerIsKilled(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	for _, change := range []struct {
		method, path, body string
		done               string
		lines              int64
	}{
		{http.MethodPost, "/v1/jobs/ID/cancel", "", `SELECT count(*) FROM outbox.jobs WHERE id = $1 AND status = 'cancelled'`, 1},
		{http.MethodPatch, "/v1/queues/desk-ID", `{"window_size":7,"retention_seconds":86400}`,
			`SELECT count(*) FROM outbox.queues WHERE name = 'desk-' || $1::bigint AND (window_size = 7 OR retention_seconds = 86400)`, 2},
		{http.MethodPost, "/v1/keys", `{"name":"key-ID","scopes":["worker"]}`, `SELECT count(*) FROM outbox.api_keys WHERE name = 'key-' || $1::bigint`, 1},
	} {
		for _, point := range []string{"db.before_line", "db.after_line", "db.after_change"} {
			id := w.insert(1, `{}`)[0]
			before := w.count(`SELECT count(*) FROM outbox.audit`)
			doomed, base := w.serve("ROOKERY_FAILPOINT=" + point)
			fill := strings.NewReplacer("ID", strconv.FormatInt(id, 10))
			if status := fails(t, change.method, base+fill.Replace(change.path), fill.Replace(change.body)); status != 0 {
				t.Errorf("%s %s is answered with %d by a server that dies", change.method, change.path, status)
			}
			doomed.waitKilled(patience)
			done, lines := w.count(change.done, id), w.count(`SELECT count(*) FROM outbox.audit`)-before
			if point == "db.after_change" && (done != 1 || lines != change.lines) || point != "db.after_change" && (done != 0 || lines != 0) {
				t.Errorf("%s %s, killed at %s: %d done, %d lines", change.method, change.path, point, done, lines)
			}
		}
	}
}

// fails makes a request and returns the status of its answer, 0 without one.
func fails(t *testing.T, method, url, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: time.Minute}
	res, err := client.Do(r)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}
