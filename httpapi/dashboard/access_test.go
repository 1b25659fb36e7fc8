package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
)

// login keeps the cookie that a key is given.
func (w *world) login(key string) {
	w.Helper()
	a := w.post("/ui/login", url.Values{"key": {key}, "next": {"/ui/jobs"}})
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/ui/jobs" || len(a.Cookies()) != 1 {
		w.Fatalf("login = %d to %q with %v", a.StatusCode, a.Header.Get("Location"), a.Cookies())
	}
	w.cookies = a.Cookies()
}

// Every page and every action wants somebody who is logged in.
func TestLogin_GuardsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rookery.Config) { c.APIKeys = []string{key, otherKey} })
	w.insert("mail", "welcome")
	pages := []string{"/ui/", "/ui/jobs", "/ui/jobs/1", "/ui/jobs/1/payload", "/ui/queues", "/ui/queues/mail", "/ui/workers", "/ui/webhooks", "/ui/dead", "/ui/storage", "/ui/audit", "/ui/about", "/ui/nowhere"}
	actions := []string{"/ui/jobs/1/cancel", "/ui/jobs/1/redrive", "/ui/jobs/1/clone", "/ui/jobs/bulk", "/ui/queues/mail/pause", "/ui/queues/mail/resume", "/ui/queues/mail/window", "/ui/webhooks/mail/enable", "/ui/webhooks/mail/disable"}
	for _, cookies := range [][]*http.Cookie{nil, {{Name: "rookery", Value: "eyJuIjoieCIsInIiOiJhZG1pbiIsInUiOjk5OTk5OTk5OTl9.AAAA"}}, {{Name: "__Host-rookery", Value: "x"}}} {
		w.cookies = cookies
		for _, target := range pages {
			if a := w.get(target); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/ui/login?next="+url.QueryEscape(target) || strings.Contains(a.body, "welcome") {
				t.Errorf("GET %s without a key = %d to %q", target, a.StatusCode, a.Header.Get("Location"))
			}
		}
		for _, target := range actions {
			if a := w.post(target, nil); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("POST %s without a key = %d, want 401", target, a.StatusCode)
			}
		}
		if a := w.get("/ui/stream"); a.StatusCode != http.StatusNoContent {
			t.Errorf("the stream without a key = %d, want 204", a.StatusCode)
		}
	}
	w.cookies = nil
	for _, wrong := range []string{"", "a-key-of-the-tests-0003", key + " ", strings.Repeat("a", 10_000)} {
		if a := w.post("/ui/login", url.Values{"key": {wrong}}); a.StatusCode != http.StatusUnauthorized || len(a.Cookies()) != 0 || wrong != "" && strings.Contains(a.body, wrong) {
			t.Errorf("login with %.30q = %d %v", wrong, a.StatusCode, a.Cookies())
		}
	}
	w.login(otherKey)
	for _, target := range pages[:12] {
		if a := w.get(target); a.StatusCode != http.StatusOK {
			t.Errorf("GET %s with a session = %d", target, a.StatusCode)
		}
	}
	if a := w.get("/v1/queues"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API with a session instead of a key = %d, want 401", a.StatusCode)
	}
	if a := w.post("/ui/logout", nil); len(a.Cookies()) != 1 || a.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout sets %v", a.Cookies())
	}
}

func TestWithoutKeys_OnlyThisMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r := httptest.NewRequest(http.MethodGet, "/ui/", nil)
	rec := httptest.NewRecorder()
	r.Host = "rebound.example.com"
	if w.handler.ServeHTTP(rec, r); rec.Code != http.StatusForbidden {
		t.Errorf("a page under another name = %d, want 403", rec.Code)
	}
}

func TestReadOnly_ChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rookery.Config) { c.UI.ReadOnly = true })
	w.insert("mail", "welcome")
	for _, target := range []string{"/ui/jobs/1/cancel", "/ui/jobs/1/redrive", "/ui/jobs/1/clone", "/ui/jobs/bulk", "/ui/queues/mail/pause", "/ui/queues/mail/resume", "/ui/queues/mail/window"} {
		if a := w.post(target, url.Values{"id": {"1"}, "action": {"cancel"}, "window_size": {"5"}}); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "read-only") {
			t.Errorf("POST %s = %d, want 403", target, a.StatusCode)
		}
	}
	for _, target := range []string{"/ui/jobs", "/ui/jobs/1", "/ui/queues/mail"} {
		if body := w.page(target).body; strings.Contains(body, `method="post" action="/ui/queues`) || strings.Contains(body, "data-confirm") {
			t.Errorf("%s offers what is refused", target)
		}
	}
	if got := value[string](w, `SELECT string_agg(status, ',') FROM outbox.jobs`); got != "queued" {
		t.Errorf("jobs are %s", got)
	}
}

func TestNoUI_IsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rookery.Config) { c.UI.Off = true })
	if a := w.get("/ui/"); a.StatusCode != http.StatusNotFound {
		t.Errorf("/ui/ = %d, want 404", a.StatusCode)
	}
}
