package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/penguinmails/rookery/job"
)

// Bulk is what is done to many jobs at once: Postgres. All of its parts are needed.
type Bulk struct {
	Changes    BulkChanges
	Operations Operations
	Work       OperationWork
}

// BulkChanges changes jobs by their ids, and looks what a filter would find.
type BulkChanges interface {
	// ChangeMany does one thing to up to [job.MaxBulk] jobs, says of each what became of
	// it, and records it. It may be sent again: what is done already is left alone. After an
	// error some may be done.
	ChangeMany(ctx context.Context, who job.Actor, action job.Action, ids []int64) ([]job.Changed, error)
	// PreviewMany looks, as far as that is quick. A [*job.FieldError] names what is wrong.
	PreviewMany(ctx context.Context, action job.Action, l job.Listing) (job.Preview, error)
}

func (b *Bulk) check() error {
	if b != nil && (b.Changes == nil || b.Operations == nil || b.Work == nil) {
		return errors.New("a part of the bulk API is missing")
	}
	return nil
}

// What the answer to a change by ids says of one of them.
const (
	resultDone        = "done"
	resultWrongStatus = codeWrongStatus
	resultNotFound    = codeJobNotFound
)

// changedOne is a job of a change by ids. Its id is a string, as it was sent: there are
// more of them than a JavaScript number can tell apart.
type changedOne struct {
	ID     string     `json:"id"`
	Result string     `json:"result"`
	Status job.Status `json:"status,omitempty"` // as it is now; absent: there is no such job
}

// preview is the answer to a dry run.
type preview struct {
	Action   job.Action  `json:"action"`
	Filter   job.Listing `json:"filter"`
	Matched  int64       `json:"matched"`
	Capped   bool        `json:"capped"` // there may be more: the look ended early
	Examples []job.Job   `json:"examples"`
}

// bulk answers POST /v1/jobs/bulk: by ids at once, by filter with an operation.
func (s *Server) bulk(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	b, err := decodeBulk(r.body)
	if err != nil {
		return answer{}, err
	}
	if b.ids != nil {
		return s.changeMany(ctx, b)
	}
	if b.filter, err = s.principal(ctx).bind(b.filter); err != nil {
		return answer{}, err
	}
	if b.dryRun {
		return s.previewMany(ctx, b)
	}
	return s.startOperation(ctx, b.action, b.filter)
}

func (s *Server) changeMany(ctx context.Context, b bulkRequest) (answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*insertTimeout)
	defer cancel()
	changed, err := s.o.Bulk.Changes.ChangeMany(ctx, s.actor(ctx), b.action, b.ids)
	if err != nil {
		return answer{}, fmt.Errorf("change jobs: %w", err)
	}
	var body struct {
		Results []changedOne `json:"results"`
		Done    int          `json:"done"`
	}
	for _, c := range changed {
		one := changedOne{ID: strconv.FormatInt(c.ID, 10), Result: resultWrongStatus, Status: c.Status}
		switch {
		case c.Done:
			one.Result = resultDone
			body.Done++
		case c.Status == "":
			one.Result = resultNotFound
		}
		body.Results = append(body.Results, one)
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func (s *Server) previewMany(ctx context.Context, b bulkRequest) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	p, err := s.o.Bulk.Changes.PreviewMany(ctx, b.action, b.filter)
	if err != nil {
		return answer{}, bulkProblem(fmt.Errorf("preview: %w", err))
	}
	out := preview{Action: b.action, Filter: b.filter, Matched: p.Matched, Capped: p.Capped, Examples: []job.Job{}}
	for _, j := range p.Examples {
		out.Examples = append(out.Examples, inUTC(j))
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// bulkProblem makes a problem of a [*job.FieldError] of the filter, and leaves other
// errors alone.
func bulkProblem(err error) error {
	var field *job.FieldError
	if errors.As(err, &field) {
		return invalidBody(codeInvalidRequest, []fault{filterFault(field.Field, field.Problem)}, false)
	}
	return err
}

func filterFault(field, problem string) fault {
	return fault{Pointer: "/filter/" + field, Field: field, Code: faultInvalid, Detail: field + " " + problem}
}

// bulkRequest is the body of POST /v1/jobs/bulk.
type bulkRequest struct {
	action job.Action
	ids    []int64 // nil: by filter
	filter job.Listing
	all    bool // the filter may be empty
	dryRun bool
	values map[string]string // the filter as it was sent; nil: none was
}

// decodeBulk reads {"action", "ids"} or {"action", "filter", "all", "dry_run"}.
func decodeBulk(body []byte) (bulkRequest, error) {
	var b bulkRequest
	d, p := newDocument(body)
	if p != nil {
		return b, p
	}
	if d.is('{') {
		d.object(func(name string) { d.bulkMember(name, &b) })
		b.check(d)
	}
	return b, d.problem(codeInvalidRequest)
}

func (d *document) bulkMember(name string, b *bulkRequest) {
	if name == "filter" && d.next() == '{' {
		b.values = map[string]string{}
		d.object(func(field string) {
			value, err := text(d.raw())
			b.values[field] = value
			d.refuse(field, err)
		})
		return
	}
	known := len(d.faults)
	raw := d.raw()
	if len(d.faults) > known {
		return
	}
	var err error
	switch name {
	case "action":
		var word string
		if word, err = text(raw); err == nil {
			b.action, err = actionOf(word)
		}
	case "ids":
		b.ids, err = idsOf(raw)
	case "filter":
		err = wrongType("an object", raw)
	case "all":
		b.all, err = yesOrNo(raw)
	case "dry_run":
		b.dryRun, err = yesOrNo(raw)
	default:
		err = &wrongValueError{faultUnknown, "is not a field of a bulk change"}
	}
	d.refuse(name, err)
}

// check looks at what the fields make up together.
func (b *bulkRequest) check(d *document) {
	if len(d.faults) > 0 {
		return
	}
	switch {
	case b.action == "":
		d.faultOf("action", faultRequired, "is missing: cancel, redrive or delete")
	case b.ids != nil && (b.values != nil || b.all || b.dryRun):
		d.faultOf("ids", faultInvalid, "must stand alone, without filter, all and dry_run")
	case b.ids == nil && b.values == nil && !b.all:
		d.faultOf("ids", faultRequired, "is missing, and so is filter: which jobs?")
	}
	if len(d.faults) > 0 || b.ids != nil {
		return
	}
	var wrong *fault
	if b.filter, wrong = filterOf(b.values); wrong != nil {
		d.faults = append(d.faults, *wrong)
		return
	}
	var field *job.FieldError
	switch {
	case b.filter.Narrow() == b.all:
		d.faultOf("filter", faultInvalid, `must not be empty unless "all" is true, and then must be`)
	case errors.As(job.CheckBulk(b.action, b.filter), &field):
		d.faults = append(d.faults, filterFault(field.Field, field.Problem))
	}
}

// filterOf reads a filter as GET /v1/jobs reads its parameters.
func filterOf(values map[string]string) (job.Listing, *fault) {
	r := request{query: map[string][]string{}}
	for name, v := range values {
		if name == "limit" || name == "cursor" {
			return job.Listing{}, &fault{Pointer: "/filter/" + name, Field: name, Code: faultUnknown, Detail: name + " is not a field of a filter"}
		}
		r.query[name] = []string{v}
	}
	l, err := listingOf(r, Principal{}) // it is bound to the caller's queues later
	var p *problem
	if errors.As(err, &p) && len(p.Errors) > 0 {
		f := p.Errors[0]
		wrong := filterFault(f.Field, f.Detail)
		return l, &wrong
	}
	l.Limit = 0
	return l, nil
}

func actionOf(word string) (job.Action, error) {
	actions := []job.Action{job.ActionCancel, job.ActionRedrive, job.ActionDelete}
	if a := job.Action(word); slices.Contains(actions, a) {
		return a, nil
	}
	return "", &wrongValueError{faultInvalid, fmt.Sprintf("is %.40q, must be cancel, redrive or delete", word)}
}

func idsOf(raw []byte) ([]int64, error) {
	words, err := listOf[string](raw, job.MaxBulk)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, &wrongValueError{faultRange, fmt.Sprintf("has no ids, must have 1 to %d", job.MaxBulk)}
	}
	ids := make([]int64, len(words))
	for i, w := range words {
		if ids[i], err = parseID(w); err != nil {
			return nil, &wrongValueError{faultFormat, fmt.Sprintf(`must have ids such as "4711", has %.40q`, w)}
		}
	}
	return ids, nil
}

func yesOrNo(raw []byte) (bool, error) {
	if raw[0] != 't' && raw[0] != 'f' {
		return false, wrongType("true or false", raw)
	}
	return raw[0] == 't', nil
}
