package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

// How many jobs a page has.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// jobList is the answer to GET /v1/jobs.
type jobList struct {
	Data       []job.Job  `json:"data"`
	NextCursor *string    `json:"next_cursor"`          // null at the end
	ScannedTo  *job.Place `json:"scanned_to,omitempty"` // the page ended here because it had looked at [job.BrowseCap] places
}

// listJobs answers GET /v1/jobs: a page without payloads and headers, and no total,
// which would cost as much as reading all.
func (s *Server) listJobs(ctx context.Context, r request) (answer, error) {
	l, err := listingOf(r, s.principal(ctx))
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	page, err := s.o.Admin.Look.List(ctx, l)
	if err != nil {
		return answer{}, lookProblem(fmt.Errorf("list jobs: %w", err))
	}
	out := jobList{Data: make([]job.Job, len(page.Jobs)), NextCursor: encodeCursor(l, page.Next)}
	for i, j := range page.Jobs {
		out.Data[i] = inUTC(j)
	}
	if page.Capped && len(s.principal(ctx).Queues) == 0 { // else it may be the place of another's job
		out.ScannedTo = page.Next
		out.ScannedTo.At = out.ScannedTo.At.UTC()
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// listingOf reads the query of GET /v1/jobs, as who asks it.
func listingOf(r request, who Principal) (job.Listing, error) {
	l := job.Listing{Limit: defaultLimit}
	if err := r.allow("queue_name", "kind", "status", "created_after", "created_before", "died_after", "limit", "cursor"); err != nil {
		return l, err
	}
	for name, values := range r.query {
		if len(values) > 1 {
			return l, invalidParameter(name, "is given more than once")
		}
	}
	if r.query.Has("kind") {
		kind := r.query.Get("kind")
		l.Kind = &kind
	}
	l.QueueName, l.Status = r.query.Get("queue_name"), r.query.Get("status")
	var err error
	if l.CreatedAfter, err = momentOf(r, "created_after"); err != nil {
		return l, err
	}
	if l.CreatedBefore, err = momentOf(r, "created_before"); err != nil {
		return l, err
	}
	if l.DiedAfter, err = momentOf(r, "died_after"); err != nil {
		return l, err
	}
	if r.query.Has("limit") {
		if l.Limit, err = strconv.Atoi(r.query.Get("limit")); err != nil || l.Limit < 1 || l.Limit > maxLimit {
			return l, invalidParameter("limit", fmt.Sprintf("must be a whole number from 1 to %d", maxLimit))
		}
	}
	if err := l.Check(); err != nil {
		return l, lookProblem(err)
	}
	if l, err = who.bindList(l); err != nil {
		return l, err
	}
	if s := r.query.Get("cursor"); s != "" {
		l.From, err = decodeCursor(l, s)
	}
	return l, err
}

// momentOf reads an RFC 3339 time of the query; without one it is zero.
func momentOf(r request, name string) (time.Time, error) {
	text := r.query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || job.CheckRunAt(t) != nil { // the same years
		return time.Time{}, invalidParameter(name, "must be an RFC 3339 time of the years 1970 to 9998, such as 2026-12-01T09:00:00Z; + is %2B in a query")
	}
	return t.UTC(), nil
}

// lookProblem makes a problem of a [*job.FieldError], and leaves other errors alone.
func lookProblem(err error) error {
	var field *job.FieldError
	if errors.As(err, &field) {
		return invalidParameter(field.Field, field.Problem)
	}
	return err
}

// process is a relay or worker in the answer to GET /v1/workers.
type process struct {
	job.ProcessState
	BeatAge float64 `json:"beat_age_seconds"` // by Postgres' clock
}

// listWorkers answers GET /v1/workers: relays too, for they are in the same table.
func (s *Server) listWorkers(ctx context.Context, r request) (answer, error) {
	if err := r.allow("role"); err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	found, err := s.o.Admin.Look.Processes(ctx, r.query.Get("role"))
	if err != nil {
		return answer{}, lookProblem(fmt.Errorf("read processes: %w", err))
	}
	found = s.principal(ctx).workers(found)
	processes := make([]process, len(found)) // never null
	for i, p := range found {
		p.StartedAt, p.BeatAt, p.RedisAt = p.StartedAt.UTC(), p.BeatAt.UTC(), utc(p.RedisAt)
		processes[i] = process{p, p.BeatAge.Seconds()}
	}
	return answer{status: http.StatusOK, body: map[string]any{"data": processes}}, nil
}
