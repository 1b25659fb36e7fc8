package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/penguinmails/rookery/job"
)

type auditBody struct {
	Filter   job.ChangeFilter
	Lines    []auditLine
	Older    string // the address of the next page; "": there is none
	First    string // of the first; "": this is it
	Capped   bool
	Filtered bool
	Cap      int
}

// auditLine is a change as the page shows it.
type auditLine struct {
	job.Change
	To   string // where its target can be looked at; "": nowhere
	Says string // its detail; "": it has none
}

// audit shows who changed what, to whoever may see all.
func (d *Dashboard) audit(ctx context.Context, r *http.Request, v Visitor) (content, error) {
	if !d.rights(v).Audit {
		return content{}, &pageError{http.StatusForbidden, "The audit takes a key with the scope admin."}
	}
	query := r.URL.Query()
	f := job.ChangeFilter{Limit: pageSize}
	for name, of := range auditFilters(&f) {
		*of = strings.TrimSpace(query.Get(name))
	}
	if before := query.Get("before"); before != "" {
		id, err := strconv.ParseInt(before, 10, 64)
		if err != nil || id < 1 {
			return content{}, &pageError{http.StatusBadRequest, "This is no place in the audit. Begin at its first page."}
		}
		f.Before = id
	}
	page, err := d.ports.Audit.Changes(ctx, f)
	if err != nil {
		return content{}, fmt.Errorf("list changes: %w", err)
	}
	body := auditBody{Filter: f, Capped: page.Capped, Cap: job.ChangesCap}
	for _, of := range auditFilters(&f) {
		body.Filtered = body.Filtered || *of != ""
	}
	for _, c := range page.Changes {
		body.Lines = append(body.Lines, auditLineOf(c))
	}
	if page.Next > 0 {
		body.Older = auditAddress(f, page.Next)
	}
	if f.Before > 0 {
		body.First = auditAddress(f, 0)
	}
	return content{template: "audit", title: "Audit", nav: "audit", live: f.Before == 0, body: body}, nil
}

// auditFilters are the fields of the page's form, and where they go.
func auditFilters(f *job.ChangeFilter) map[string]*string {
	return map[string]*string{"principal": &f.Principal, "action": &f.Action, "target": &f.Target, "queue_name": &f.QueueName}
}

// auditAddress is where the page of f goes on below an id; 0 is its first page.
func auditAddress(f job.ChangeFilter, before int64) string {
	v := url.Values{}
	for name, of := range auditFilters(&f) {
		if *of != "" {
			v.Set(name, *of)
		}
	}
	if before > 0 {
		v.Set("before", strconv.FormatInt(before, 10))
	}
	if len(v) == 0 {
		return "/ui/audit"
	}
	return "/ui/audit?" + v.Encode()
}

func auditLineOf(c job.Change) auditLine {
	l := auditLine{Change: c, Says: string(c.Detail)}
	if l.Says == "{}" {
		l.Says = ""
	}
	noun, _, _ := strings.Cut(c.Action, ".")
	switch _, err := parseID(c.Target); {
	case noun == "job" && err == nil:
		l.To = "/ui/jobs/" + c.Target
	case noun == "operation" && err == nil:
		l.To = "/ui/operations/" + c.Target
	case noun == "endpoint" && job.CheckQueueName(c.Target) == nil:
		l.To = "/ui/webhooks"
	case noun == "queue" && job.CheckQueueName(c.Target) == nil:
		l.To = "/ui/queues/" + c.Target
	}
	return l
}
