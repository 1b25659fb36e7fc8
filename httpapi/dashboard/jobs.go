package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

const pageSize = 50 // jobs of a page, and so of a bulk action

type jobsBody struct {
	Query   string
	Problem string // why there is no list
	Lists   []listLink
	Jobs    []job.Job
	Next    string // the address of the next page; "": there is none
	First   string // of the first; "": this is it
	Capped  bool   // the look ended before the page was full
	Looked  int    // at so many places of the list
	Search  search
	Status  string
	Can     struct{ Cancel, Redrive bool }
	Whole   []wholeLink // what can be done to all that match
}

// listLink is a line at the left of the page.
type listLink struct {
	Name  string
	To    string
	Count string // "": not counted
	Here  bool
}

// jobs shows a page of a list.
func (d *Dashboard) jobs(ctx context.Context, r *http.Request, v Visitor) (content, error) {
	query := r.URL.Query()
	body := jobsBody{Query: query.Get("q")}
	page := content{template: "jobs", title: "Jobs", nav: "jobs", live: true}
	g, err := d.look(ctx, v)
	if err != nil {
		return content{}, err
	}
	s, err := parseSearch(body.Query)
	if err == nil && s.Queue == "" && s.Status == job.FilterReady && v.bound() {
		s, err = v.oneQueue(s)
	}
	if err != nil {
		// The box keeps what was written, so that it can be corrected.
		body.Problem, body.Lists = err.Error(), linksOf(search{}, g)
		page.body = body
		return page, nil
	}
	if s.ID != 0 {
		return content{}, &redirect{"/ui/jobs/" + strconv.FormatInt(s.ID, 10)}
	}
	after, err := parsePlace(query.Get("after"))
	if err != nil {
		return content{}, err
	}
	l, err := v.bind(s.listing(after, time.Now()))
	if err != nil {
		return content{}, err
	}
	found, err := d.ports.Jobs.List(ctx, l)
	if err != nil {
		return content{}, fmt.Errorf("list jobs: %w", err)
	}
	body.Search, body.Status, body.Query, body.Jobs, body.Capped, body.Looked = s, s.Status, s.String(), found.Jobs, found.Capped, job.BrowseCap
	body.Lists = linksOf(s, g)
	if found.Next != nil {
		body.Next = addressOf(s, placeText(found.Next))
	}
	if after != nil {
		body.First = addressOf(s, "")
		page.live = false // a page in the middle is read, not watched
	}
	if len(found.Jobs) > 0 || found.Capped {
		body.Whole = wholeLinks(s)
	}
	for _, j := range found.Jobs {
		body.Can.Cancel = body.Can.Cancel || !j.Status.Terminal()
		body.Can.Redrive = body.Can.Redrive || j.Status.Terminal()
	}
	page.body = body
	return page, nil
}

// addressOf is where the list of s goes on behind a place.
func addressOf(s search, after string) string {
	v := url.Values{}
	if q := s.String(); q != "" {
		v.Set("q", q)
	}
	if after != "" {
		v.Set("after", after)
	}
	if len(v) == 0 {
		return "/ui/jobs"
	}
	return "/ui/jobs?" + v.Encode()
}

// linksOf are the lists, with the figures that cost nothing.
func linksOf(s search, g glance) []listLink {
	var ready, scheduled, out int64
	for _, q := range g.Queues {
		if s.Queue == "" || s.Queue == q.Name {
			ready, scheduled, out = ready+q.Ready, scheduled+q.Scheduled, out+q.Out
		}
	}
	counts := map[string]string{job.FilterReady: about(ready), job.FilterOut: number(out)}
	if s.Queue == "" {
		counts[string(job.Dead)] = capped(g.Dead)
	}
	var links []listLink
	for _, name := range lists() {
		l := listLink{Name: name, To: addressOf(s.with(name), ""), Count: counts[name], Here: name == s.Status}
		if name == "" {
			l.Name = "all"
		}
		links = append(links, l)
	}
	return links
}

// bulk does one thing to the jobs that were marked. Each is an action of its own:
// when Postgres goes away in the middle, those before are done, and it can be sent
// again.
func (d *Dashboard) bulk(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	ids := r.PostForm["id"]
	if len(ids) == 0 || len(ids) > pageSize {
		return done{}, &pageError{http.StatusUnprocessableEntity, fmt.Sprintf("%d jobs are marked; mark 1 to %d.", len(ids), pageSize)}
	}
	action := r.PostForm.Get("action")
	var do func(context.Context, int64) (bool, error)
	switch action {
	case "cancel":
		do = d.hands(v).Jobs.Cancel
	case "redrive":
		do = d.hands(v).Jobs.Redrive
	default:
		return done{}, &pageError{http.StatusUnprocessableEntity, "The action must be cancel or redrive."}
	}
	what := done{flash: flash{code: action}, to: backTo(r.PostForm.Get("back"))}
	for _, text := range ids {
		id, err := parseID(text)
		if err != nil {
			return done{}, err
		}
		ok, err := do(ctx, id)
		switch {
		case errors.Is(err, job.ErrNotFound), err == nil && !ok:
			what.flash.undone++
		case err != nil:
			return done{}, fmt.Errorf("%s job %d, after %d others: %w", action, id, what.flash.done, err)
		default:
			what.flash.done++
		}
	}
	d.log.InfoContext(ctx, "dashboard action", logVisitor, v.Name, logAction, "bulk "+action, "jobs", what.flash.done)
	return what, nil
}

// backTo returns the list that a bulk action came from.
func backTo(query string) string {
	s, err := parseSearch(query)
	if err != nil {
		return "/ui/jobs"
	}
	return addressOf(s, "")
}

// parseID reads a job's id as addresses have it.
func parseID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || text[0] == '+' || text[0] == '0' {
		return 0, &pageError{http.StatusNotFound, "A job's id is a whole number above 0."}
	}
	return id, nil
}
