package dashboard_test

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
)

// hostiles are what would run if it were not text.
var hostiles = []string{
	`<script>window.hurt=1</script>`,
	`"><img src=x onerror=window.hurt=1>`,
	`'><svg onload=window.hurt=1>`,
	`javascript:window.hurt=1`,
	`</pre></table></main><iframe srcdoc="x">`,
	`{{.}} ${hurt} <!--`,
	"\" autofocus onfocus=\"window.hurt=1",
}

// Whatever stands in a field is shown as what it is.
func TestHostileContent_IsText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.insert("mail", "welcome")
	var ids []int64
	for i, evil := range hostiles {
		id := w.insert("mail", evil)
		ids = append(ids, id)
		w.exec(`UPDATE outbox.jobs SET payload = jsonb_build_object('k', $2::text, $2::text, 1), headers = jsonb_build_object('traceparent', $2::text, $2::text, 2) WHERE id = $1`, id, evil)
		w.kill(id, evil)
		w.exec(`UPDATE outbox.jobs SET worker_id = $2 WHERE id = $1`, id, evil)
		w.exec(`UPDATE outbox.attempts SET worker_id = $2, outcome = $2 WHERE job_id = $1`, id, evil)
		w.exec(`UPDATE outbox.dead_letters SET reason = $2 WHERE job_id = $1`, id, evil)
		role := []string{"relay", "worker"}[i%2]
		w.exec(`INSERT INTO outbox.processes (id, role, host) VALUES ($1, $2, $1)`, evil, role)
	}
	targets := []string{"/ui/", "/ui/jobs", "/ui/jobs?q=status%3Adead", "/ui/queues", "/ui/queues/mail", "/ui/workers", "/ui/dead"}
	for _, id := range ids {
		targets = append(targets, fmt.Sprintf("/ui/jobs/%d?reveal=payload", id))
	}
	shown := map[string]bool{}
	for _, target := range targets {
		body := w.page(target).body
		for _, evil := range hostiles {
			if strings.ContainsAny(evil, `<>"`) && strings.Contains(body, evil) {
				t.Errorf("%s has %q as it is", target, evil)
			}
			if strings.Contains(html.UnescapeString(body), evil) {
				shown[evil] = true
			}
		}
		for _, bad := range []string{`href="javascript:`, `src="javascript:`, "<iframe", "<img src=x", "<svg onload", `onfocus="`} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q", target, bad)
			}
		}
	}
	for _, evil := range hostiles {
		if !shown[evil] {
			t.Errorf("no page shows %q: this test looks at nothing", evil)
		}
	}
	// What comes with the address is text too, and so is what is said of it.
	for _, evil := range hostiles {
		for _, target := range []string{"/ui/jobs?q=", "/ui/jobs?after=", "/ui/jobs/", "/ui/queues/", "/ui/jobs?q=kind:", "/ui/login?next=", "/ui/"} {
			if body := w.get(target + url.QueryEscape(evil)).body; strings.ContainsAny(evil, `<>"`) && strings.Contains(body, evil) {
				t.Errorf("%s%s repeats it as it is", target, evil)
			}
		}
	}
}
