package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/oidc/oidctest"
)

// issuedWorld is a world where people log in at an issuer too.
func issuedWorld(t *testing.T, claims map[string]any) (*world, *oidctest.Issuer) {
	t.Helper()
	i, err := oidctest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	i.Claims = claims
	w := newWorld(t, func(c *rookery.Config) {
		c.APIKeys = []string{key}
		c.OIDC = rookery.OIDC{Issuer: i.URL, Audience: "rookery", ScopeClaim: "roles", QueuesClaim: "queues", Login: rookery.OIDCLogin{
			ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, URL: "http://localhost:8080", Scopes: "groups",
		}}
	})
	return w, i
}

// atIssuer follows a browser from the login page to the issuer and back; the answer is the
// dashboard's, to whom the cookies are given that it has set on the way.
func (w *world) atIssuer(next string, change func(url.Values)) answer {
	w.Helper()
	a := w.get("/ui/login/issuer?next=" + url.QueryEscape(next))
	if a.StatusCode != http.StatusSeeOther || len(a.Cookies()) != 1 {
		w.Fatalf("to the issuer = %d with %v", a.StatusCode, a.Cookies())
	}
	flow := a.Cookies()[0]
	if flow.SameSite != http.SameSiteLaxMode || !flow.HttpOnly || flow.MaxAge <= 0 || flow.MaxAge > 600 {
		w.Errorf("the cookie of a login under way = %v", flow)
	}
	w.cookies = []*http.Cookie{flow}
	q := w.comesBack(a.Header.Get("Location"))
	if change != nil {
		change(q)
	}
	a = w.get("/ui/login/back?" + q.Encode())
	w.cookies = nil
	for _, c := range a.Cookies() {
		switch {
		case c.Name == flow.Name && (c.MaxAge >= 0 || a.StatusCode != http.StatusOK):
			w.Errorf("the login's cookie after %d is %v", a.StatusCode, c)
		case c.Name != flow.Name:
			w.cookies = append(w.cookies, c)
		}
	}
	return a
}

// comesBack is what the issuer sends a browser back with.
func (w *world) comesBack(to string) url.Values {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, to, nil)
	if err != nil {
		w.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.Fatal(err)
	}
	_ = res.Body.Close()
	back, err := res.Location()
	if err != nil || back.Path != "/ui/login/back" {
		w.Fatalf("the issuer answers %d and sends to %v, %v", res.StatusCode, back, err)
	}
	return back.Query()
}

func TestSignOn_RolesAreClaims(t *testing.T) {
	t.Parallel()
	w, i := issuedWorld(t, nil)
	w.exec(`INSERT INTO outbox.queues (name) VALUES ('mail.a'), ('bills') ON CONFLICT DO NOTHING`)
	for _, tt := range []struct {
		name   string
		claims map[string]any
		sees   map[string]int // pages, and what they answer
	}{
		{"a viewer of some queues", map[string]any{"roles": "jobs:read", "queues": "mail.*"}, map[string]int{"/ui/jobs": 200, "/ui/queues/mail.a": 200, "/ui/queues/bills": 404, "/ui/storage": 403, "/ui/audit": 403}},
		{"an admin", map[string]any{"roles": []string{"admin"}, "queues": "*"}, map[string]int{"/ui/jobs": 200, "/ui/queues/bills": 200, "/ui/storage": 200, "/ui/audit": 200}},
	} {
		i.Set(func() { i.Claims = tt.claims })
		a := w.atIssuer("/ui/jobs?q=status%3Adead", nil)
		if a.StatusCode != http.StatusOK || a.Header.Get("Refresh") != "0; url=/ui/jobs?q=status%3Adead" || len(w.cookies) != 1 {
			t.Fatalf("%s logs in = %d, Refresh %q, %v", tt.name, a.StatusCode, a.Header.Get("Refresh"), w.cookies)
		}
		if c := w.cookies[0]; c.SameSite != http.SameSiteStrictMode || !c.HttpOnly || c.MaxAge != int(time.Hour/time.Second) {
			t.Errorf("the session's cookie of %s = %v", tt.name, c)
		}
		for target, want := range tt.sees {
			if a := w.get(target); a.StatusCode != want {
				t.Errorf("%s gets %s = %d, want %d", tt.name, target, a.StatusCode, want)
			}
		}
	}
	w.post("/ui/queues/bills/pause", nil)
	if who := value[string](w, `SELECT principal FROM outbox.audit ORDER BY id DESC LIMIT 1`); who != "oidc:grace" {
		t.Errorf("the audit says that %q paused it, want oidc:grace", who)
	}
}

func TestSignOn_NobodyElse(t *testing.T) {
	t.Parallel()
	good := map[string]any{"roles": "jobs:read", "queues": "*"}
	w, i := issuedWorld(t, good)
	many := make([]string, 40)
	for n := range many {
		many[n] = strings.Repeat("q", 97) + string(rune('a'+n/26)) + string(rune('a'+n%26))
	}
	for name, tt := range map[string]struct {
		claims  map[string]any
		refuses string // by the issuer
		change  func(url.Values)
		status  int
		says    string
	}{
		"the issuer refuses":        {claims: good, refuses: "access_denied", status: 403, says: "is access_denied."},
		"an error that is a page":   {claims: good, refuses: "<b>x</b>", status: 403, says: "is an error."},
		"a state of somebody else":  {claims: good, change: func(q url.Values) { q.Set("state", "another") }, status: 403, says: "did not begin"},
		"a code that was guessed":   {claims: good, change: func(q url.Values) { q.Set("code", "x") }, status: 403, says: "does not take"},
		"no scope of ours":          {claims: map[string]any{"roles": "barista", "queues": "*"}, status: 403, says: "jobs:read"},
		"no queues":                 {claims: map[string]any{"roles": "jobs:read"}, status: 403, says: "queues"},
		"more queues than it holds": {claims: map[string]any{"roles": "jobs:read", "queues": many}, status: 403, says: "no cookie holds"},
	} {
		i.Set(func() { i.Claims, i.Refuses = tt.claims, tt.refuses })
		a := w.atIssuer("/ui/jobs", tt.change)
		if a.StatusCode != tt.status || !strings.Contains(a.body, tt.says) || len(w.cookies) != 0 || a.Header.Get("Refresh") != "" {
			t.Errorf("%s: %d with %v, want %d, %q and no session:\n%s", name, a.StatusCode, w.cookies, tt.status, tt.says, a.body)
		}
	}
	i.Set(func() { i.Claims, i.Refuses = good, "" })
	// A browser that did not begin has no flow, whatever it was sent.
	a := w.get("/ui/login/issuer")
	q := w.comesBack(a.Header.Get("Location"))
	if a := w.get("/ui/login/back?" + q.Encode()); a.StatusCode != http.StatusForbidden || len(a.Cookies()) != 0 {
		t.Errorf("another browser comes back = %d, %v, want 403", a.StatusCode, a.Cookies())
	}
	// Nor does a place of somebody else's stand in what we go on with.
	if a := w.atIssuer("https://evil.example/ui/", nil); a.Header.Get("Refresh") != "0; url=/ui/" {
		t.Errorf("after a login it goes on to %q", a.Header.Get("Refresh"))
	}
	i.Set(func() { i.Broken = true })
	if a := w.atIssuer("/ui/", nil); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "1" {
		t.Errorf("with the issuer away = %d, want 503", a.StatusCode)
	}
}

// Who only guesses is asked to wait, before the issuer is asked for them; and who begins
// under another name than they come back by goes there first.
func TestSignOn_StrangersAndOtherNames(t *testing.T) {
	t.Parallel()
	w, _ := issuedWorld(t, map[string]any{"roles": "jobs:read", "queues": "*"})
	for n := 0; ; n++ {
		a := w.get("/ui/login/back?state=x&code=y")
		if a.StatusCode == http.StatusTooManyRequests {
			break
		}
		if a.StatusCode != http.StatusForbidden || n > 2000 { // a slow machine gives time to more
			t.Fatalf("guess %d = %d, want 403, and 429 some time", n, a.StatusCode)
		}
	}
	for _, target := range []string{"/ui/login/issuer?next=/ui/jobs", "/ui/login/issuer?here&next=/ui/jobs"} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Host = "127.0.0.1:8080"
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		to, once := rec.Header().Get("Location"), !strings.Contains(target, "here")
		if got := to == "http://localhost:8080/ui/login/issuer?here&next=%2Fui%2Fjobs"; got != once {
			t.Errorf("%s by another name leads to %s", target, to)
		}
	}
}

// Nobody makes a session of their own: not with a key they have, whose hash seals others.
func TestSignOn_KeysSealNoIssuedSession(t *testing.T) {
	t.Parallel()
	w, _ := issuedWorld(t, map[string]any{"roles": "jobs:read", "queues": "*"})
	w.atIssuer("/ui/", nil)
	part, mac, _ := strings.Cut(w.cookies[0].Value, ".")
	w.login(key)
	_, own, _ := strings.Cut(w.cookies[0].Value, ".")
	for name, value := range map[string]string{"another's seal": part + "." + own, "cut": part + "." + mac[:len(mac)-1], "none": part} {
		c := *w.cookies[0]
		c.Value = value
		w.cookies = []*http.Cookie{&c}
		if a := w.get("/ui/jobs"); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/ui/login") {
			t.Errorf("a session with %s gets %d, want to be sent away", name, a.StatusCode)
		}
	}
}

func TestSignOn_OffUnlessConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rookery.Config) { c.APIKeys = []string{key} })
	for _, target := range []string{"/ui/login/issuer", "/ui/login/back?code=x&state=y"} {
		if a := w.get(target); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s = %d, want 404", target, a.StatusCode)
		}
	}
	if a := w.get("/ui/login"); strings.Contains(a.body, "/ui/login/issuer") {
		t.Error("the form offers a login at an issuer")
	}
}
