package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/penguinmails/rookery/job"
)

// SignOn lets people in whom an issuer of identities knows, without a key.
type SignOn interface {
	// Begin returns where a browser logs in, and what it keeps meanwhile: a secret text of
	// at most 500 bytes. [job.ErrUnavailable]: the issuer does not answer.
	Begin(ctx context.Context) (to, flow string, err error)
	// Finish returns who came back with the values of a query. A [*job.TokenError] refuses
	// them; [job.ErrUnavailable]: the issuer does not answer.
	Finish(ctx context.Context, flow string, came url.Values) (Guest, error)
	// Seal signs the sessions of all whom Finish lets in: secret, the same in every process.
	Seal() [sha256.Size]byte
	// Issuer names the issuer to people.
	Issuer() string
}

// SignOnPath is where the issuer sends browsers back to, behind the service's address.
const SignOnPath = "/ui/login/back"

const (
	signOnLife = time.Hour        // of a session that nobody can end before: the issuer is asked again then
	flowLife   = 10 * time.Minute // how long somebody may take at the issuer
	maxFlow    = 3 << 10          // bytes of the cookie
)

// underway is what a browser keeps while somebody logs in at the issuer.
type underway struct {
	Flow string `json:"f"`
	Next string `json:"n"` // where they wanted to go
}

func (u underway) text() string {
	text, _ := json.Marshal(u) // two strings: cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

// flowCookie is like [cookieOf], but a browser sends it along when the issuer sends it
// here: nothing else can be done with it.
func flowCookie(r *http.Request) *http.Cookie {
	c := cookieOf(r)
	c.Name, c.SameSite, c.MaxAge = c.Name+"-login", http.SameSiteLaxMode, int(flowLife/time.Second)
	return c
}

// signOn sends a browser to the issuer.
func (d *Dashboard) signOn(w http.ResponseWriter, r *http.Request) {
	next := safeNext(r.URL.Query().Get("next"))
	if d.o.SignOn == nil {
		d.fail(w, r, Visitor{}, &pageError{http.StatusNotFound, "There is no such page."})
		return
	}
	if home, err := url.Parse(d.o.URL); err == nil && home.Host != "" && home.Host != r.Host && !r.URL.Query().Has("here") {
		// Once: a proxy may call us by another name than people do.
		http.Redirect(w, r, home.Scheme+"://"+home.Host+"/ui/login/issuer?here&next="+url.QueryEscape(next), http.StatusSeeOther)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	to, flow, err := d.o.SignOn.Begin(ctx)
	if err != nil {
		d.refuse(w, r, next, signOnProblem(err), err)
		return
	}
	c := flowCookie(r)
	if c.Value = (underway{flow, next}).text(); len(c.Value) > maxFlow {
		c.Value = underway{flow, home}.text()
	}
	http.SetCookie(w, c)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// signedOn lets in whom the issuer has sent back. The session's cookie is for requests of
// our own pages only, and a redirect would go on being one of the issuer's: so it is a page
// that goes on.
func (d *Dashboard) signedOn(w http.ResponseWriter, r *http.Request) {
	if d.o.SignOn == nil {
		d.fail(w, r, Visitor{}, &pageError{http.StatusNotFound, "There is no such page."})
		return
	}
	var u underway
	c := flowCookie(r)
	if had, err := r.Cookie(c.Name); err == nil && len(had.Value) <= maxFlow {
		text, err := base64.RawURLEncoding.DecodeString(had.Value)
		if err != nil || json.Unmarshal(text, &u) != nil {
			u = underway{}
		}
	}
	next := safeNext(u.Next)
	if d.o.Door != nil {
		if err := d.o.Door.Try(r); err != nil {
			d.refuse(w, r, next, doorProblem(err), nil)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*readTimeout)
	defer cancel()
	g, err := d.o.SignOn.Finish(ctx, u.Flow, r.URL.Query())
	if err != nil {
		if d.o.Door != nil {
			d.o.Door.Strange(r) // each has asked the issuer, with our secret
		}
		d.refuse(w, r, next, signOnProblem(err), err)
		return
	}
	v, err := visitorOf(g)
	if err != nil {
		d.refuse(w, r, next, doorProblem(err), fmt.Errorf("%s came from the issuer", g.Name))
		return
	}
	s := cookieOf(r)
	s.Value, s.MaxAge = sealIssued(g, time.Now()), int(signOnLife/time.Second)
	if len(s.Value) > maxCookie {
		d.refuse(w, r, next, &pageError{http.StatusForbidden, "You may see so many queues by name that no cookie holds them. Use a key, or name them by their beginnings."}, nil)
		return
	}
	http.SetCookie(w, s)
	c.MaxAge = -1 // it has done its work
	http.SetCookie(w, c)
	d.log.InfoContext(r.Context(), "dashboard login", logVisitor, v.Name, logRequestID, requestID(w))
	w.Header().Set("Refresh", "0; url="+next)
	d.render(w, r, Visitor{}, http.StatusOK, content{template: "onward", title: "Logged in", body: next})
}

// signOnProblem is what somebody is told whom the issuer did not send, or did not let in.
func signOnProblem(err error) error {
	var no *job.TokenError
	switch {
	case errors.As(err, &no):
		return &pageError{http.StatusForbidden, "You are not let in: what the issuer sent " + no.Problem + "."}
	case errors.Is(err, job.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &pageError{http.StatusServiceUnavailable, "The issuer does not answer for now. Try again in a moment, or use a key."}
	}
	return err
}

// guestOf returns whom a session is of that was begun at the issuer, if it is sealed: it
// says itself what they may, until it ends.
func (d *Dashboard) guestOf(s session) (Guest, error) {
	if d.o.SignOn == nil {
		return Guest{}, job.ErrNotFound
	}
	return Guest{Name: s.Name, Scopes: s.Scopes, Queues: s.Queues, Seal: d.o.SignOn.Seal()}, nil
}

func sealIssued(g Guest, now time.Time) string {
	return sealSession(g, session{Name: g.Name, Until: now.Add(signOnLife).Unix(), Issued: true, Scopes: g.Scopes, Queues: g.Queues})
}
