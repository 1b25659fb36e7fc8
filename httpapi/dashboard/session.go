package dashboard

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

const (
	sessionLife = 12 * time.Hour
	maxKey      = 512     // bytes of a key that is looked at
	maxForm     = 1 << 16 // bytes of a form
	maxCookie   = 3 << 10 // bytes of a session
	home        = "/ui/"
)

// session is what the cookie of somebody who is logged in says: who they are and until
// when, signed with the seal of their key. What they may is asked anew each time; the
// server keeps nothing. Of those who came from the issuer nobody can be asked: their
// session says what they may, signed with the seal of [SignOn].
type session struct {
	Name   string      `json:"n"`
	Until  int64       `json:"u"` // seconds since 1970
	Issued bool        `json:"i,omitempty"`
	Scopes []job.Scope `json:"s,omitempty"`
	Queues []string    `json:"q,omitempty"`
}

func seal(g Guest, now time.Time) string {
	return sealSession(g, session{Name: g.Name, Until: now.Add(sessionLife).Unix()})
}

func sealSession(g Guest, s session) string {
	text, _ := json.Marshal(s) // texts, a number, a bool: cannot fail
	part := base64.RawURLEncoding.EncodeToString(text)
	return part + "." + base64.RawURLEncoding.EncodeToString(sign(g, part))
}

// sessionIn returns what a cookie says, without a name when it is no session. It proves
// nothing; [sealed] does.
func sessionIn(cookie string, now time.Time) session {
	part, _, _ := strings.Cut(cookie, ".")
	text, err := base64.RawURLEncoding.DecodeString(part)
	var in session
	if err != nil || json.Unmarshal(text, &in) != nil || now.Unix() >= in.Until {
		return session{}
	}
	return in
}

// sealed reports whether a cookie was made for a guest.
func sealed(g Guest, cookie string) bool {
	part, given, _ := strings.Cut(cookie, ".")
	mac, err := base64.RawURLEncoding.DecodeString(given)
	return err == nil && hmac.Equal(mac, sign(g, part))
}

func sign(g Guest, part string) []byte {
	h := hmac.New(sha256.New, g.Seal[:])
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

// errStranger: nobody is logged in.
var errStranger = errors.New("not logged in")

// visitor returns who asks. A key that was revoked, or may not look any more, ends its
// sessions as soon as the door knows.
func (d *Dashboard) visitor(r *http.Request) (Visitor, error) {
	if d.o.Door == nil {
		return Visitor{Name: "local", Role: RoleAdmin, Payload: true}, nil
	}
	c, err := r.Cookie(cookieOf(r).Name)
	if err != nil || len(c.Value) > maxCookie {
		return Visitor{}, errStranger
	}
	s := sessionIn(c.Value, time.Now())
	if s.Name == "" {
		return Visitor{}, errStranger
	}
	var g Guest
	if s.Issued {
		g, err = d.guestOf(s)
	} else {
		g, err = d.o.Door.Again(r, s.Name)
	}
	if errors.Is(err, job.ErrNotFound) || err == nil && !sealed(g, c.Value) {
		return Visitor{}, errStranger
	}
	if err != nil {
		return Visitor{}, err
	}
	v, err := visitorOf(g)
	if err != nil {
		return Visitor{}, errStranger
	}
	return v, nil
}

// turnAway sends somebody who is not logged in to the form, and back afterwards. A
// part of a page that is kept fresh has the whole page loaded anew. When nobody can say
// who they are it says that.
func (d *Dashboard) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case !errors.Is(err, errStranger):
		d.fail(w, r, Visitor{}, doorProblem(err))
	case r.Header.Get("HX-Request") != "", r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("HX-Refresh", "true")
		d.fail(w, r, Visitor{}, &pageError{http.StatusUnauthorized, "The session has ended. Log in again."})
	default:
		http.Redirect(w, r, "/ui/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	}
}

// doorProblem is what somebody is told whom the door does not let in.
func doorProblem(err error) error {
	var no *refusal
	switch {
	case errors.Is(err, job.ErrNotFound):
		return &pageError{http.StatusUnauthorized, "This key is not known, was revoked or has expired."}
	case errors.Is(err, ErrTooOften):
		return &pageError{http.StatusTooManyRequests, "Too many came from your address whom nobody knows. Try again in a minute."}
	case errors.As(err, &no):
		return &pageError{http.StatusForbidden, no.text}
	}
	return err
}

type loginBody struct {
	Next    string
	Refused string // why; "": nobody has tried yet
	Issuer  string // where one can log in without a key; "": nowhere
}

func (d *Dashboard) loginPage(w http.ResponseWriter, r *http.Request, status int, b loginBody) {
	if d.o.SignOn != nil {
		b.Issuer = d.o.SignOn.Issuer()
	}
	d.render(w, r, Visitor{}, status, content{template: "login", title: "Log in", body: b})
}

// refuse shows the form again, and why; cause is for the log.
func (d *Dashboard) refuse(w http.ResponseWriter, r *http.Request, next string, why, cause error) {
	p := problemOf(why)
	log := d.log.With(logRequestID, requestID(w), logReason, p.text)
	if cause != nil {
		log = log.With(logError, cause)
	}
	log.WarnContext(r.Context(), "dashboard login refused")
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	d.loginPage(w, r, p.status, loginBody{Next: next, Refused: p.text})
}

func (d *Dashboard) loginForm(w http.ResponseWriter, r *http.Request) {
	next := safeNext(r.URL.Query().Get("next"))
	if _, err := d.visitor(r); err == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	d.loginPage(w, r, http.StatusOK, loginBody{Next: next})
}

func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	key, next := r.PostFormValue("key"), safeNext(r.PostFormValue("next"))
	if d.o.Door == nil {
		http.Redirect(w, r, home, http.StatusSeeOther)
		return
	}
	g, v, err := d.enter(r, key)
	if err != nil {
		d.refuse(w, r, next, doorProblem(err), nil)
		return
	}
	c := cookieOf(r)
	c.Value, c.MaxAge = seal(g, time.Now()), int(sessionLife/time.Second)
	http.SetCookie(w, c)
	d.log.InfoContext(r.Context(), "dashboard login", logVisitor, v.Name, logRequestID, requestID(w))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// enter returns who has a key, and what they are here.
func (d *Dashboard) enter(r *http.Request, key string) (Guest, Visitor, error) {
	if len(key) > maxKey {
		return Guest{}, Visitor{}, job.ErrNotFound
	}
	g, err := d.o.Door.Enter(r, key)
	if err != nil {
		return Guest{}, Visitor{}, err
	}
	v, err := visitorOf(g)
	return g, v, err
}

// logout takes the cookie back. Whoever has a copy of it stays logged in until it ends,
// or the key does.
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
