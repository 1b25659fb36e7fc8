package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

// wholeActions are what can be done to all jobs that match, as the pages offer them.
func wholeActions() []job.Action {
	return []job.Action{job.ActionRedrive, job.ActionCancel, job.ActionDelete}
}

// wholeLink leads to the question whether to do something to all jobs that match.
type wholeLink struct {
	Action job.Action
	To     string
}

// wholeLinks are those of a list: none without a filter, and none that would be refused.
func wholeLinks(s search) (links []wholeLink) {
	l := s.listing(nil, time.Now())
	for _, a := range wholeActions() {
		if l.Narrow() && job.CheckBulk(a, l) == nil {
			links = append(links, wholeLink{a, beginAddress(a, s)})
		}
	}
	return links
}

// wanted is what somebody wants to have done to all jobs that match.
type wanted struct {
	action job.Action
	search search
	at     time.Time // what "since" counts from: when it was asked for first
}

// listing is the filter, as an operation takes it.
func (a wanted) listing() job.Listing {
	l := a.search.listing(nil, a.at)
	l.Limit, l.ErrorChars = 0, 0
	return l
}

// parseWanted reads action, q and at. It refuses a search without a filter: whoever wants
// all jobs has the API. The ports refuse what [job.CheckBulk] does.
func parseWanted(v url.Values, now time.Time) (wanted, error) {
	a := wanted{action: job.Action(v.Get("action")), at: now}
	refuse := func(text string) (wanted, error) {
		return wanted{}, &pageError{http.StatusUnprocessableEntity, text}
	}
	if !slices.Contains(wholeActions(), a.action) {
		return refuse("The action must be redrive, cancel or delete.")
	}
	var err error
	if a.search, err = parseSearch(v.Get("q")); err != nil {
		return wanted{}, err
	}
	if text := v.Get("at"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if a.at = time.UnixMilli(ms); err != nil || ms < 1 || a.at.After(now.Add(time.Hour)) || now.Sub(a.at) > job.MaxDelay {
			return refuse("The moment that since: counts from cannot be read. Begin at the list of jobs.")
		}
	}
	if a.search.ID != 0 || !a.listing().Narrow() {
		return refuse("Say which jobs: there must be a filter such as queue:, kind:, status: or since:.")
	}
	return a, nil
}

type beginBody struct {
	Action   job.Action
	Query    string
	At       int64 // milliseconds since 1970
	Back     string
	Matched  int64
	Capped   bool // the look ended early: there may be more
	Looked   int
	Examples []job.Job
}

// confirmOperation shows what would be done, and asks.
func (d *Dashboard) confirmOperation(ctx context.Context, r *http.Request, v Visitor) (content, error) {
	if !d.rights(v).Operate {
		return content{}, d.mayNot(v)
	}
	a, err := parseWanted(r.URL.Query(), time.Now())
	if err != nil {
		return content{}, err
	}
	l, err := v.bind(a.listing())
	if err != nil {
		return content{}, err
	}
	p, err := d.ports.Operations.PreviewMany(ctx, a.action, l)
	if err != nil {
		return content{}, fmt.Errorf("preview %s: %w", a.action, err)
	}
	return content{template: "begin", title: "Confirm", nav: "jobs", body: beginBody{
		Action: a.action, Query: a.search.String(), At: a.at.UnixMilli(), Back: addressOf(a.search, ""),
		Matched: p.Matched, Capped: p.Capped, Looked: job.BrowseCap, Examples: p.Examples,
	}}, nil
}

// beginOperation begins what was confirmed. A server takes it up within seconds and works
// at it, a batch at a time.
func (d *Dashboard) beginOperation(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	a, err := parseWanted(r.PostForm, time.Now())
	if err != nil {
		return done{}, err
	}
	l, err := v.bind(a.listing())
	if err != nil {
		return done{}, err
	}
	o, err := d.hands(v).Operations.Start(ctx, a.action, l)
	if err != nil {
		return done{}, operationError(fmt.Errorf("start operation: %w", err))
	}
	d.log.InfoContext(ctx, "dashboard action", logVisitor, v.Name, logAction, "begin "+string(a.action), logOperation, o.ID)
	return done{flash: flash{code: "begin"}, to: operationAddress(o.ID)}, nil
}
