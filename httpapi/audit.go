package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/penguinmails/rookery/job"
)

// Audit knows what people have changed: Postgres. Whoever changes something for them takes
// their [job.Actor] along, and records it in its transaction.
type Audit interface {
	// Changes lists lines, the newest first. Bad input is a [*job.FieldError].
	Changes(ctx context.Context, f job.ChangeFilter) (job.ChangePage, error)
}

// listAudit answers GET /v1/audit: the newest first.
func (s *Server) listAudit(ctx context.Context, r request) (answer, error) {
	p, err := cursorPageOf(r, "principal", "action", "target", "queue_name")
	if err != nil {
		return answer{}, err
	}
	f := job.ChangeFilter{
		Principal: r.query.Get("principal"), Action: r.query.Get("action"), Target: r.query.Get("target"), QueueName: r.query.Get("queue_name"), Limit: p.limit,
	}
	if p.cursor != "" {
		if f.Before, err = parseID(p.cursor); err != nil {
			return answer{}, invalidParameter("cursor", "must be a next_cursor of this route")
		}
	}
	if err := f.Check(); err != nil {
		return answer{}, lookProblem(err)
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	page, err := s.o.Audit.Changes(ctx, f)
	if err != nil {
		return answer{}, fmt.Errorf("list changes: %w", err)
	}
	body := struct {
		Changes    []job.Change `json:"changes"`
		NextCursor *string      `json:"next_cursor"` // null: these were the oldest
	}{Changes: []job.Change{}}
	for _, c := range page.Changes {
		c.At = c.At.UTC()
		body.Changes = append(body.Changes, c)
	}
	if page.Next > 0 {
		next := strconv.FormatInt(page.Next, 10)
		body.NextCursor = &next
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// cursorPage is which part of a list is wanted.
type cursorPage struct {
	cursor string // "": from the start
	limit  int
}

const (
	defaultCursorPage = 50
	maxCursorPage     = 200
)

// cursorPageOf reads the parameters cursor and limit, and refuses others but those named.
func cursorPageOf(r request, names ...string) (cursorPage, error) {
	p := cursorPage{limit: defaultCursorPage}
	if err := r.allow(append(names, "cursor", "limit")...); err != nil {
		return p, err
	}
	for name, values := range r.query {
		if len(values) > 1 {
			return p, invalidParameter(name, "is there twice")
		}
	}
	p.cursor = r.query.Get("cursor")
	if text := r.query.Get("limit"); r.query.Has("limit") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxCursorPage {
			return p, invalidParameter("limit", fmt.Sprintf("must be 1 to %d", maxCursorPage))
		}
		p.limit = n
	}
	return p, nil
}
