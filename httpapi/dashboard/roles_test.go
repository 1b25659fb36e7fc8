package dashboard_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// locked is a house that lets nobody in without a key, none of them of the configuration.
func locked(t *testing.T) *world {
	t.Helper()
	return newWorld(t, func(c *rookery.Config) { c.RequireKey = true })
}

// makeKey makes a key as rookery keys create does.
func (w *world) makeKey(k job.APIKey) (text, id string) {
	w.Helper()
	k.Name = "a key"
	text, made, err := rookery.CreateKey(w.Context(), w.url, k)
	if err != nil {
		w.Fatal(err)
	}
	return text, made.ID
}

// visit logs in with a new key of these scopes.
func (w *world) visit(scopes ...job.Scope) (id string) {
	w.Helper()
	text, id := w.makeKey(job.APIKey{Scopes: scopes})
	w.cookies = nil
	w.login(text)
	return id
}

// What a role may not do is not offered, and is refused all the same.
func TestRoles_OfKeys(t *testing.T) {
	t.Parallel()
	w := locked(t)
	over := w.insert("mail", "welcome")
	w.kill(over, "boom")
	for _, tt := range []struct {
		role                       string
		scopes                     []job.Scope
		payload, operate, administ bool
	}{
		{"viewer", []job.Scope{job.ScopeJobsRead}, false, false, false},
		{"viewer", []job.Scope{job.ScopeJobsRead, job.ScopePayloadsRead}, true, false, false},
		{"viewer", []job.Scope{job.ScopeJobsRead, job.ScopeJobsWrite, job.ScopeWorker}, false, false, false},
		{"operator", []job.Scope{job.ScopeJobsRead, job.ScopeJobsWrite, job.ScopeQueuesAdmin}, false, true, false},
		{"admin", []job.Scope{job.ScopeAdmin}, true, true, true},
	} {
		w.visit(tt.scopes...)
		id := w.insert("mail", "welcome")
		one := fmt.Sprintf("/ui/jobs/%d", id)
		about := w.page("/ui/about").body
		if !strings.Contains(about, "<dd>"+tt.role+"</dd>") {
			t.Errorf("a key with %v is not shown as %s", tt.scopes, tt.role)
		}
		offers := func(target, what string, want bool) {
			t.Helper()
			if got := strings.Contains(w.page(target).body, what); got != want {
				t.Errorf("%s with %v: %s offers %q = %t, want %t", tt.role, tt.scopes, target, what, got, want)
			}
		}
		offers(one, "reveal=payload", tt.payload)
		for _, action := range []string{"cancel", "clone"} {
			offers(one, one+"/"+action, tt.operate)
		}
		offers(fmt.Sprintf("/ui/jobs/%d", over), fmt.Sprintf("%d/redrive\"", over), tt.operate)
		offers("/ui/jobs", `name="action"`, tt.operate)
		offers("/ui/queues/mail", "/ui/queues/mail/pause", tt.operate)
		offers("/ui/queues/mail", "/ui/queues/mail/window", tt.administ)
		offers("/ui/", `href="/ui/audit"`, tt.administ)
		if got := strings.Contains(w.page(one+"?reveal=payload").body, "secret@"); got != tt.payload {
			t.Errorf("%s with %v sees the payload = %t, want %t", tt.role, tt.scopes, got, tt.payload)
		}
		refuses := func(a answer, what string, may bool) {
			t.Helper()
			if refused := a.StatusCode == http.StatusForbidden; refused == may {
				t.Errorf("%s with %v: %s = %d, want it refused: %t", tt.role, tt.scopes, what, a.StatusCode, !may)
			}
		}
		refuses(w.get(one+"/payload"), "the payload as text", tt.payload)
		refuses(w.get("/ui/audit"), "the audit", tt.administ)
		for _, action := range []string{one + "/cancel", one + "/redrive", one + "/clone", "/ui/jobs/bulk", "/ui/queues/mail/pause", "/ui/queues/mail/resume"} {
			refuses(w.post(action, url.Values{"id": {fmt.Sprint(id)}, "action": {"cancel"}}), action, tt.operate)
		}
		refuses(w.post("/ui/queues/mail/window", url.Values{"window_size": {"5"}}), "window", tt.administ)
	}
}

// Who may not come in is told why, in one sentence.
func TestLogin_SaysWhyNot(t *testing.T) {
	t.Parallel()
	w := locked(t)
	blind, _ := w.makeKey(job.APIKey{Scopes: []job.Scope{job.ScopeJobsWrite, job.ScopeQueuesAdmin}})
	unknown, _, _ := job.NewKey()
	for _, tt := range []struct {
		key    string
		status int
		says   string
	}{
		{blind, 403, "lacks the scope jobs:read"}, {unknown, 401, "not known"}, {"x", 401, "not known"}, {"", 401, "not known"},
	} {
		a := w.post("/ui/login", url.Values{"key": {tt.key}})
		if a.StatusCode != tt.status || !strings.Contains(a.body, tt.says) || len(a.Cookies()) != 0 || tt.key == unknown && strings.Contains(a.body, unknown) {
			t.Errorf("login with a key that %s = %d, %v, want %d", tt.says, a.StatusCode, a.Cookies(), tt.status)
		}
	}
	last := 0
	for range 2000 { // one a second is let through
		other, _, _ := job.NewKey()
		if last = w.post("/ui/login", url.Values{"key": {other}}).StatusCode; last != 401 {
			break
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("after many unknown keys from one address the answer is %d, want 429", last)
	}
}

// A key that is revoked or whose end has come takes its sessions with it, as soon as the
// keys are asked for anew; others' go on, and nobody makes one of another's.
func TestSession_EndsWithItsKey(t *testing.T) {
	t.Parallel()
	w := locked(t)
	w.insert("mail", "welcome")
	other := w.visit(job.ScopeAdmin)
	others := w.cookies
	id := w.visit(job.ScopeAdmin)
	forged := *w.cookies[0]
	name, _, _ := strings.Cut(others[0].Value, ".")
	_, mac, _ := strings.Cut(w.cookies[0].Value, ".")
	forged.Value = name + "." + mac
	if mine := w.cookies; other != id {
		w.cookies = []*http.Cookie{&forged}
		if a := w.get("/ui/jobs"); a.StatusCode != http.StatusSeeOther {
			t.Errorf("a session made of two = %d, want it refused", a.StatusCode)
		}
		w.cookies = mine
	}
	w.page("/ui/jobs")
	if revoked, err := rookery.RevokeKey(t.Context(), w.url, id); err != nil || !revoked {
		t.Fatal(revoked, err)
	}
	devtest.Until(t, patience, "the session of the revoked key to end", func() (bool, error) {
		return w.get("/ui/jobs").StatusCode == http.StatusSeeOther, nil
	})
	if a := w.post("/ui/jobs/1/cancel", nil); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("an action of the ended session = %d, want 401", a.StatusCode)
	}
	if a := w.get("/ui/stream"); a.StatusCode != http.StatusNoContent {
		t.Errorf("the stream of the ended session = %d, want 204", a.StatusCode)
	}
	w.cookies = others
	w.page("/ui/jobs")
	w.exec(`UPDATE outbox.api_keys SET expires_at = now() WHERE id = $1`, other)
	devtest.Until(t, patience, "the session of the expired key to end", func() (bool, error) {
		return w.get("/ui/jobs").StatusCode == http.StatusSeeOther, nil
	})
	soon := time.Now().Add(-time.Second)
	text, _ := w.makeKey(job.APIKey{Scopes: []job.Scope{job.ScopeAdmin}, ExpiresAt: &soon})
	if a := w.post("/ui/login", url.Values{"key": {text}}); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("login with an expired key = %d, want 401", a.StatusCode)
	}
}

// A stream that is open ends with the key of who opened it.
func TestStream_EndsWithItsKey(t *testing.T) {
	t.Parallel()
	w := locked(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	id := w.visit(job.ScopeJobsRead)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/ui/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.cookies {
		r.AddCookie(c)
	}
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("the stream = %d %s", res.StatusCode, got)
	}
	if _, err := rookery.RevokeKey(ctx, w.url, id); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Errorf("the stream of the revoked key goes on: %v", err)
	}
}
