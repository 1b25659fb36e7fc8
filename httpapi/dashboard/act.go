package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

// actTimeout bounds one action, a bulk one included.
const actTimeout = 20 * time.Second

// done is what an action did, and where to go now.
type done struct {
	flash flash
	to    string
}

// act serves an action to whoever may reach and do it, and then leads to a page: a reload
// does not do it again.
func (d *Dashboard) act(to reach, allowed func(rights) bool, do func(context.Context, *http.Request, Visitor) (done, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := d.visitor(r)
		if err != nil {
			d.turnAway(w, r, err)
			return
		}
		if !allowed(d.rights(v)) {
			d.fail(w, r, v, d.mayNot(v))
			return
		}
		if err := v.mayReach(to); err != nil {
			d.fail(w, r, v, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			d.fail(w, r, v, &pageError{http.StatusBadRequest, "The form cannot be read, or is longer than 65,536 bytes."})
			return
		}
		v.requestID, v.ip = requestID(w), clientOf(r)
		// What was begun is done, even if nobody waits for the answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTimeout)
		defer cancel()
		what, err := do(ctx, r, v)
		if err != nil {
			d.fail(w, r, v, err)
			return
		}
		d.pulse.forget() // whoever has changed something wants to see it
		d.groups.forget()
		d.deadOf.forget()
		setFlash(w, what.flash)
		http.Redirect(w, r, what.to, http.StatusSeeOther)
	}
}

// mayNot says why v may not do what they ask for.
func (d *Dashboard) mayNot(v Visitor) error {
	text := "A " + string(v.Role) + " may not do this."
	if d.o.ReadOnly {
		text = "This dashboard is read-only."
	}
	return &pageError{http.StatusForbidden, text}
}

// hands are those of v: what is done with them is recorded.
func (d *Dashboard) hands(v Visitor) Hands {
	return d.ports.As(job.Actor{Principal: v.Name, RequestID: v.requestID, IP: v.ip, Queues: v.Queues})
}

// clientOf is where a connection comes from, as Postgres takes it, or "".
func clientOf(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return at.Addr().Unmap().WithZone("").String()
}

// flash is what the next page says of an action: a code of the table, and how many
// times it was done and was not. A cookie carries it, so it can say nothing else,
// whoever wrote that.
type flash struct {
	code         string
	done, undone int
}

const flashCookie = "rookery_flash"

// flashes has for each code what was done, and why it was not.
var flashes = map[string][2]string{
	"cancel":   {"cancelled", "over already"},
	"redrive":  {"sent again", "on the way already"},
	"clone":    {"cloned: this is the copy", ""},
	"pause":    {"paused: relays tell Redis within a second", ""},
	"resume":   {"resumed", ""},
	"window":   {"window set", ""},
	"enable":   {"delivered to again: push workers notice within seconds", ""},
	"disable":  {"disabled: nothing is delivered, and the queue is paused", ""},
	"as it is": {"nothing was done: it is so already", ""},
	"begin":    {"begun: a server takes it up within seconds", ""},
	"stop":     {"cancelled: what was done stays done", ""},
	"over":     {"nothing was done: the operation was over already", ""},
}

func setFlash(w http.ResponseWriter, f flash) {
	http.SetCookie(w, &http.Cookie{
		Name: flashCookie, Value: fmt.Sprintf("%s.%d.%d", f.code, f.done, f.undone), Path: home, MaxAge: 30, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// takeFlash returns what is to be said, once.
func takeFlash(w http.ResponseWriter, r *http.Request) string {
	c, err := r.Cookie(flashCookie)
	if err != nil || r.Header.Get("HX-Request") != "" {
		return ""
	}
	http.SetCookie(w, &http.Cookie{Name: flashCookie, Path: home, MaxAge: -1})
	code, counts, _ := strings.Cut(c.Value, ".")
	doneText, undoneText, _ := strings.Cut(counts, ".")
	words, known := flashes[code]
	n, err1 := strconv.Atoi(doneText)
	un, err2 := strconv.Atoi(undoneText)
	if !known || err1 != nil || err2 != nil || n < 0 || un < 0 {
		return ""
	}
	switch {
	case n == 0 && un == 1 && words[1] != "":
		return "Nothing was done: the job is " + words[1] + "."
	case n == 0 && un == 0, n == 1 && un == 0:
		return strings.ToUpper(words[0][:1]) + words[0][1:] + "."
	case un == 0:
		return plural(n, "job", "jobs") + " " + words[0] + "."
	}
	return plural(n, "job", "jobs") + " " + words[0] + ", " + number(un) + " " + words[1] + "."
}
