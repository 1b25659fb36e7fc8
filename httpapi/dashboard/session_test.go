package dashboard

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestSession_OnlyOurs(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	g := Guest{Name: "key:a", Seal: [32]byte{1}}
	cookie := seal(g, now)
	for _, at := range []time.Duration{0, sessionLife - time.Second} {
		if got := sessionIn(cookie, now.Add(at)).Name; got != g.Name || !sealed(g, cookie) {
			t.Errorf("after %s the session is of %q, sealed %t, want %q", at, got, sealed(g, cookie), g.Name)
		}
	}
	part, mac, _ := strings.Cut(cookie, ".")
	other, _, _ := strings.Cut(seal(Guest{Name: "key:b", Seal: g.Seal}, now), ".")
	later, _, _ := strings.Cut(seal(g, now.Add(time.Hour)), ".")
	for name, bad := range map[string]string{
		"nothing": "", "no mac": part, "empty mac": part + ".", "another seal": seal(Guest{Name: g.Name, Seal: [32]byte{2}}, now), "another name": other + "." + mac,
		"a later end": later + "." + mac, "cut": cookie[:len(cookie)-1], "longer": cookie + "A", "not base64": "!." + mac,
	} {
		if sealed(g, bad) {
			t.Errorf("%s: sealed = true, want false", name)
		}
	}
	for _, bad := range []string{"", ".", "!", "eyJ", "bnVsbA", "e30"} {
		if got := sessionIn(bad, now).Name; got != "" {
			t.Errorf("the session %q is of %q, want nobody", bad, got)
		}
	}
	if got := sessionIn(cookie, now.Add(sessionLife)).Name; got != "" {
		t.Errorf("after twelve hours the session is of %q, want nobody", got)
	}
}

func TestCookie_FitsTheConnection(t *testing.T) {
	t.Parallel()
	for host, local := range map[string]bool{
		"localhost:8080": true, "127.0.0.1": true, "[::1]:8080": true, "jobs.example.com": false, "10.0.0.1:8080": false, "localhost.evil.com": false,
	} {
		for _, secure := range []bool{false, true} {
			r := httptest.NewRequest(http.MethodGet, "/ui/", nil)
			r.Host = host
			if secure {
				r.TLS = &tls.ConnectionState{}
			}
			c := cookieOf(r)
			plain := local && !secure
			if c.Secure == plain || strings.HasPrefix(c.Name, "__Host-") == plain || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("cookie of %s (TLS %t) = %+v", host, secure, c)
			}
		}
	}
}

func TestSafeNext_StaysHere(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/ui/jobs?q=status%3Adead": "/ui/jobs?q=status%3Adead", "/ui/": "/ui/",
		"": home, "/": home, "/v1/jobs": home, "https://evil.com/ui/": home, "//evil.com/ui/": home, "/ui/login": home, "/ui/logout": home,
		"javascript:alert(1)": home, "/ui/\\evil.com": home, "/ui/\r\nSet-Cookie: a=b": home, "ui/jobs": home, "http:/ui/": home,
	} {
		if got := safeNext(next); got != want {
			t.Errorf("safeNext(%q) = %q, want %q", next, got, want)
		}
	}
}

func TestFlash_SaysNothingElse(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"cancel.1.0": "Cancelled.", "cancel.0.1": "Nothing was done: the job is over already.", "cancel.3.1": "3 jobs cancelled, 1 over already.",
		"redrive.2.0": "2 jobs sent again.", "pause.0.0": "Paused: relays tell Redis within a second.",
		"<script>.1.0": "", "cancel.x.0": "", "cancel": "", "cancel.-1.0": "", "": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/ui/", nil)
		r.AddCookie(&http.Cookie{Name: flashCookie, Value: value})
		if got := takeFlash(httptest.NewRecorder(), r); got != want {
			t.Errorf("flash %q = %q, want %q", value, got, want)
		}
	}
}
