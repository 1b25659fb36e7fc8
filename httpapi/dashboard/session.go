package dashboard

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	sessionLife = 12 * time.Hour
	maxKey      = 512     // bytes of a key that is looked at
	maxForm     = 1 << 16 // bytes of a form
	home        = "/ui/"
)

// sessions makes and reads the cookie of somebody who is logged in. It holds who they
// are and until when, signed: the server keeps nothing.
type sessions struct{ key []byte }

type session struct {
	Name  string `json:"n"`
	Role  Role   `json:"r"`
	Until int64  `json:"u"` // seconds since 1970
}

func (s sessions) seal(v Visitor, now time.Time) string {
	text, _ := json.Marshal(session{v.Name, v.Role, now.Add(sessionLife).Unix()}) // strings and a number: cannot fail
	part := base64.RawURLEncoding.EncodeToString(text)
	return part + "." + base64.RawURLEncoding.EncodeToString(s.sign(part))
}

func (s sessions) open(cookie string, now time.Time) (Visitor, bool) {
	part, given, _ := strings.Cut(cookie, ".")
	mac, err := base64.RawURLEncoding.DecodeString(given)
	if err != nil || !hmac.Equal(mac, s.sign(part)) {
		return Visitor{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(part)
	var in session
	if err != nil || json.Unmarshal(text, &in) != nil || now.Unix() >= in.Until {
		return Visitor{}, false
	}
	return Visitor{in.Name, in.Role}, true
}

func (s sessions) sign(part string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte("rookery session\x00" + part))
	return h.Sum(nil)
}

// cookieOf returns the session's cookie without its value. Browsers keep one called
// __Host- only if it is Secure, and a Secure one only from https. So a browser on this
// machine that asks without TLS is given a plain one; everybody else has to come
// through TLS, ours or a proxy's.
func cookieOf(r *http.Request) *http.Cookie {
	c := &http.Cookie{Name: "__Host-rookery", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode}
	if r.TLS == nil && loopback(r.Host) {
		c.Name, c.Secure = "rookery", false
	}
	return c
}

// loopback reports whether a Host header can only mean this machine.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// visitor returns who asks.
func (d *Dashboard) visitor(r *http.Request) (Visitor, bool) {
	if d.o.Login == nil {
		return Visitor{Name: "local", Role: RoleAdmin}, true
	}
	c, err := r.Cookie(cookieOf(r).Name)
	if err != nil {
		return Visitor{}, false
	}
	return d.sessions.open(c.Value, time.Now())
}

// askForKey sends somebody who is not logged in to the form, and back afterwards. A
// part of a page that is kept fresh has the whole page loaded anew.
func (d *Dashboard) askForKey(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("HX-Request") != "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("HX-Refresh", "true")
		d.fail(w, r, Visitor{}, &pageError{http.StatusUnauthorized, "The session has ended. Log in again."})
		return
	}
	http.Redirect(w, r, "/ui/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
}

type loginBody struct {
	Next    string
	Refused bool
}

func (d *Dashboard) loginForm(w http.ResponseWriter, r *http.Request) {
	next := safeNext(r.URL.Query().Get("next"))
	if _, ok := d.visitor(r); ok {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	d.render(w, r, Visitor{}, http.StatusOK, content{template: "login", title: "Log in", body: loginBody{Next: next}})
}

func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	key, next := r.PostFormValue("key"), safeNext(r.PostFormValue("next"))
	if d.o.Login == nil {
		http.Redirect(w, r, home, http.StatusSeeOther)
		return
	}
	v, ok := Visitor{}, false
	if len(key) <= maxKey {
		v, ok = d.o.Login(r.Context(), key)
	}
	if !ok {
		d.log.WarnContext(r.Context(), "dashboard login refused", logRequestID, requestID(w))
		d.render(w, r, Visitor{}, http.StatusUnauthorized, content{template: "login", title: "Log in", body: loginBody{Next: next, Refused: true}})
		return
	}
	c := cookieOf(r)
	c.Value, c.MaxAge = d.sessions.seal(v, time.Now()), int(sessionLife/time.Second)
	http.SetCookie(w, c)
	d.log.InfoContext(r.Context(), "dashboard login", logVisitor, v.Name, logRequestID, requestID(w))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// logout takes the cookie back. Whoever has a copy of it stays logged in until it
// ends: sessions end for all when a key is withdrawn.
func (d *Dashboard) logout(w http.ResponseWriter, r *http.Request) {
	c := cookieOf(r)
	c.MaxAge = -1
	http.SetCookie(w, c)
	http.Redirect(w, r, "/ui/login", http.StatusSeeOther)
}

// safeNext returns a place of ours to go to after the login: a stranger may have
// written the link to the form.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, home) || strings.HasPrefix(u.Path, "/ui/log") || strings.ContainsAny(next, "\\\r\n") {
		return home
	}
	return u.RequestURI()
}
