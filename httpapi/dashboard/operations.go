package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

type operationsBody struct {
	Lines []operationLine
	Older string // the address of the next page; "": there is none
	First bool   // this is the first page
}

// operationLine is an operation as the pages show it.
type operationLine struct {
	job.Operation
	Filter string // in words
	Over   bool
	Took   time.Duration // once it is over; by Postgres' clock
	Of     int64         // how many there were when it began; 0: nobody knows, or none
}

// Percent is its share in whole percent: 100 when all is gone through, and not before.
func (l operationLine) Percent() int {
	if l.Share == nil {
		return 0
	}
	return int(*l.Share * 100)
}

func operationLineOf(o job.Operation) operationLine {
	l := operationLine{Operation: o, Filter: filterText(o.Filter), Over: o.Status != job.OperationRunning}
	if o.FinishedAt != nil {
		l.Took = o.FinishedAt.Sub(o.StartedAt)
	}
	if o.Total != nil {
		l.Of = *o.Total
	}
	return l
}

// operations lists what has been done to many jobs at once, the newest first.
func (d *Dashboard) operations(ctx context.Context, r *http.Request, v Visitor) (content, error) {
	var before int64
	if text := r.URL.Query().Get("before"); text != "" {
		var err error
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return content{}, &pageError{http.StatusBadRequest, "This is no place in the list of operations. Begin at its first page."}
		}
	}
	page, err := d.ports.Operations.Operations(ctx, job.OperationFilter{Queues: v.Queues, Before: before, Limit: pageSize})
	if err != nil {
		return content{}, fmt.Errorf("list operations: %w", err)
	}
	body := operationsBody{First: before == 0}
	if page.Next > 0 {
		body.Older = "/ui/operations?before=" + strconv.FormatInt(page.Next, 10)
	}
	for _, o := range page.Operations {
		body.Lines = append(body.Lines, operationLineOf(o))
	}
	return content{template: "operations", title: "Operations", nav: "jobs", live: body.First, body: body}, nil
}

// operation shows how far one is.
func (d *Dashboard) operation(ctx context.Context, r *http.Request, v Visitor) (content, error) {
	id, err := operationID(r)
	if err != nil {
		return content{}, err
	}
	o, err := d.ports.Operations.Operation(ctx, id)
	if err == nil && !o.Filter.Within(v.Queues) {
		err = job.ErrNotFound // as if it were not there
	}
	if err != nil {
		return content{}, operationError(fmt.Errorf("read operation: %w", err))
	}
	line := operationLineOf(o)
	return content{template: "operation", title: fmt.Sprintf("Operation %d", id), nav: "jobs", live: !line.Over, body: line}, nil
}

// cancelOperation ends one before its time. What it has done stays done.
func (d *Dashboard) cancelOperation(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	id, err := operationID(r)
	if err != nil {
		return done{}, err
	}
	cancelled, err := d.hands(v).Operations.Cancel(ctx, id)
	if err != nil {
		return done{}, operationError(fmt.Errorf("cancel operation: %w", err))
	}
	what := done{flash: flash{code: "stop"}, to: operationAddress(id)}
	if !cancelled {
		what.flash.code = "over"
	}
	d.log.InfoContext(ctx, "dashboard action", logVisitor, v.Name, logAction, "cancel operation", logOperation, id)
	return what, nil
}

func operationAddress(id int64) string { return "/ui/operations/" + strconv.FormatInt(id, 10) }

func operationID(r *http.Request) (int64, error) {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		err = &pageError{http.StatusNotFound, "An operation's id is a whole number above 0."}
	}
	return id, err
}

// operationError says of an operation what [problemOf] would say of a job.
func operationError(err error) error {
	switch {
	case errors.Is(err, job.ErrNotFound):
		return &pageError{http.StatusNotFound, "There is no such operation."}
	case errors.Is(err, job.ErrTooMany):
		return &pageError{http.StatusTooManyRequests, fmt.Sprintf("%d operations run already, and no more may run at a time. Wait until one is over, or cancel one.", job.MaxRunningOperations)}
	}
	return err
}

// filterText is a filter in the words of the search box, as far as that has words for
// it: programs can ask for more.
func filterText(l job.Listing) string {
	var words []string
	for _, w := range [][2]string{{"queue:", l.QueueName}, {"queue:", strings.Join(l.Queues, "|")}, {"status:", l.Status}} {
		if w[1] != "" {
			words = append(words, w[0]+w[1])
		}
	}
	if l.Kind != nil {
		kind := *l.Kind
		if kind == "" || strings.ContainsAny(kind, " \",") {
			kind = strconv.Quote(kind)
		}
		words = append(words, "kind:"+kind)
	}
	for _, bound := range []struct {
		words string
		at    time.Time
	}{{"inserted after", l.CreatedAfter}, {"inserted before", l.CreatedBefore}, {"died after", l.DiedAfter}} {
		if !bound.at.IsZero() {
			words = append(words, bound.words+" "+bound.at.UTC().Format("2006-01-02 15:04:05 MST"))
		}
	}
	if len(words) == 0 {
		return "all jobs"
	}
	return strings.Join(words, ", ")
}

// beginAddress is where one confirms that action be done to all jobs of s.
func beginAddress(action job.Action, s search) string {
	return "/ui/operations/new?" + url.Values{"action": {string(action)}, "q": {s.String()}}.Encode()
}
