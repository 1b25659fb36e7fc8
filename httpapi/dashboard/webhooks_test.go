package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func (w *world) endpoint(queue, at string) {
	w.Helper()
	w.exec(`INSERT INTO outbox.endpoints (queue_name, url, secret, max_in_flight) VALUES ($1, $2, $3, 7)`, queue, at, job.NewEndpointSecret())
}

// The page shows where queues are delivered to, by host alone, and how that goes.
func TestWebhooks_ShowsEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.insert("mail", "k")
	if body := w.page("/ui/webhooks").body; !strings.Contains(body, "No queue is delivered to a URL") {
		t.Error("a house without endpoints does not say so")
	}
	w.endpoint("mail", "https://mail.example:8443/hook/path?token=canary")
	w.endpoint("gone", "https://gone.example/")
	w.exec(`UPDATE outbox.endpoints SET disabled_at = now() - interval '2 hours', disabled_reason = 'receiver answered 410 Gone: <b>x</b>' WHERE queue_name = 'gone'`)
	w.exec(`INSERT INTO outbox.stats (minute, queue_name, writer, completed, failed, dead) VALUES
		(date_trunc('minute', now()), 'mail', 1, 2, 0, 0), (date_trunc('minute', now()) - interval '30 minutes', 'mail', 2, 1, 0, 1),
		(date_trunc('minute', now()) - interval '70 minutes', 'mail', 1, 0, 900, 0), (date_trunc('minute', now()), 'other', 1, 0, 5, 0)`)
	body := w.page("/ui/webhooks").body
	for _, want := range []string{"mail.example:8443", "/7", "75 %", "of 4", "active", "disabled", "2 h", "receiver answered 410 Gone: &lt;b&gt;x&lt;/b&gt;", `action="/ui/webhooks/mail/disable"`, `action="/ui/webhooks/gone/enable"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has not %q", want)
		}
	}
	for _, not := range []string{"canary", "/hook", "whsec_", "<b>x", `href="/ui/queues/gone"`} { // that queue is not there yet
		if strings.Contains(body, not) {
			t.Errorf("the page has %q", not)
		}
	}
	if body := w.page("/ui/queues/mail").body; !strings.Contains(body, "mail.example:8443") || strings.Contains(body, "canary") {
		t.Error("the queue's page has not the host of its endpoint, or more than that")
	}
	if body := w.page("/ui/").body; !strings.Contains(body, `href="/ui/webhooks"`) {
		t.Error("the navigation has no way to the page")
	}
}

// Disabling pauses the queue, enabling resumes what that has paused and no more; each
// leaves a line, and doing it twice leaves one.
func TestWebhooks_EnableAndDisable(t *testing.T) {
	t.Parallel()
	w := locked(t)
	id := w.visit(job.ScopeAdmin)
	w.insert("mail", "k")
	w.endpoint("mail", "https://mail.example/")
	paused := func() bool {
		return value[bool](w, `SELECT coalesce((SELECT paused FROM outbox.queues WHERE name = 'mail'), false)`)
	}
	lines := func() string {
		return value[string](w, `SELECT coalesce(string_agg(concat_ws(' ', action, target, queue_name), ', ' ORDER BY id), '') FROM outbox.audit WHERE principal = 'key:' || $1`, id)
	}
	for range 2 {
		w.acts("/ui/webhooks/mail/disable", nil)
	}
	if reason := value[string](w, `SELECT disabled_reason FROM outbox.endpoints`); !paused() || reason != "disabled by key:"+id {
		t.Errorf("disabled by hand: paused %t, because %q", paused(), reason)
	}
	for range 2 {
		w.acts("/ui/webhooks/mail/enable", nil)
	}
	if left := value[int](w, `SELECT count(*) FROM outbox.endpoints WHERE disabled_at IS NOT NULL OR disabled_reason <> '' OR paused_queue`); paused() || left != 0 {
		t.Errorf("enabled again: paused %t, %d rows still say so", paused(), left)
	}
	if want := "endpoint.disable mail mail, endpoint.enable mail mail"; lines() != want {
		t.Errorf("the audit has %q, want %q", lines(), want)
	}
	w.acts("/ui/queues/mail/pause", nil) // by somebody, for another reason
	w.acts("/ui/webhooks/mail/disable", nil)
	w.acts("/ui/webhooks/mail/enable", nil)
	if !paused() {
		t.Error("enabling an endpoint resumes a queue that somebody had paused")
	}
	if a := w.post("/ui/webhooks/none/enable", url.Values{}); a.StatusCode != http.StatusNotFound {
		t.Errorf("enabling what is not there = %d, want 404", a.StatusCode)
	}

	viewer := locked(t)
	viewer.visit(job.ScopeJobsRead)
	viewer.endpoint("mail", "https://mail.example/")
	if body := viewer.page("/ui/webhooks").body; strings.Contains(body, "/ui/webhooks/mail/disable") {
		t.Error("a viewer is offered to disable an endpoint")
	}
	if a := viewer.post("/ui/webhooks/mail/disable", url.Values{}); a.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer disables an endpoint with %d, want 403", a.StatusCode)
	}
}

// What is under way is counted in Redis, and is not known without it.
func TestWebhooks_InFlight(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t)
	w := newWorld(t, func(c *rookery.Config) { c.RedisURL = server.URL() })
	w.endpoint("mail", "https://mail.example/")
	if body := w.page("/ui/webhooks").body; !strings.Contains(body, `0<span class="dim">/7`) || strings.Contains(body, "Redis does not answer") {
		t.Error("the page has not 0 of 7 requests under way")
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if body := w.page("/ui/webhooks").body; !strings.Contains(body, `?<span class="dim">/7`) || !strings.Contains(body, "Redis does not answer") {
		t.Error("without Redis the page does not say that it does not know")
	}
}
