package db

import (
	"context"
	"math"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Slices begin at a page and grow by this, up to so many places at once.
const (
	sliceGrowth = 16
	sliceMost   = 4000
	sliceLeast  = 10
)

// List shows a page of jobs, without payloads and headers, in the order that fits its
// status; see [job.Listing]. Jobs that change while a reader goes from page to page
// move within their list: one may be met twice, or not at all. Bad input is a
// [*job.FieldError].
func (s *Store) List(ctx context.Context, l job.Listing) (job.Page, error) {
	if err := l.Check(); err != nil {
		return job.Page{}, err
	}
	p := job.Page{Jobs: []job.Job{}}
	err := s.seeing(ctx, "list jobs", func(q *query.Queries) error {
		p = job.Page{Jobs: []job.Job{}}
		return browse(ctx, q, l, &p)
	})
	return p, err
}

// browse fills p: it walks the list's index slice by slice, and keeps what matches. A
// match more than the page shows says that there is another page.
func browse(ctx context.Context, q *query.Queries, l job.Listing, p *job.Page) error {
	walk := walkOf(l)
	var last *job.Place // of the jobs shown
	from, slice := l.From, l.Limit+1
	for looked := 0; looked < job.BrowseCap; slice = nextSlice(slice, looked, len(p.Jobs), l.Limit+1) {
		asked := min(slice, job.BrowseCap-looked)
		places, err := walk(ctx, q, from, int32(asked))
		if err != nil {
			return err
		}
		found, err := matching(ctx, q, l, places, l.Limit+1-len(p.Jobs))
		if err != nil {
			return err
		}
		more := len(p.Jobs)+len(found) > l.Limit
		if more {
			found = found[:l.Limit-len(p.Jobs)]
		}
		if len(found) > 0 {
			p.Jobs, last = append(p.Jobs, found...), placeOf(found[len(found)-1], places)
		}
		if more {
			p.Next = last
			return nil
		}
		if len(places) < asked {
			return nil // the end of the list
		}
		from, looked = &places[len(places)-1].Place, looked+len(places)
	}
	p.Next, p.Capped = from, true
	return nil
}

// nextSlice returns how many places to look at after a slice, when of those looked at so
// many showed of what is wanted. A job is a page of Postgres to read, mostly from disk:
// where nearly all match there are few more, and where few do, few statements.
func nextSlice(slice, looked, shown, want int) int {
	grown := max(slice, min(sliceGrowth*slice, sliceMost))
	if shown == 0 {
		return grown
	}
	return min(grown, max((want-shown)*looked/shown*3/2, sliceLeast))
}

// placeOf returns which of the places is a job's.
func placeOf(j job.Job, places []place) *job.Place {
	for i := range places {
		if places[i].ID == j.ID {
			return &places[i].Place
		}
	}
	return nil
}

// matching returns the first jobs at places that the listing asks for, in their order.
func matching(ctx context.Context, q *query.Queries, l job.Listing, places []place, most int) ([]job.Job, error) {
	a := query.BrowseJobsParams{
		QueueName: l.QueueName, CreatedAfter: moment(l.CreatedAfter), CreatedBefore: moment(l.CreatedBefore), ErrorChars: math.MaxInt32, MaxJobs: int32(most),
	}
	if prefix, open := l.KindPrefix(); open {
		a.KindPrefix = prefix
	} else {
		a.Kind = l.Kind
	}
	if l.ErrorChars > 0 {
		a.ErrorChars = int32(l.ErrorChars)
	}
	a.Statuses, a.Failed = statusesOf(l.Status)
	a.Queues = append([]string{}, l.Queues...)
	for _, at := range places {
		if !at.other {
			a.Ids = append(a.Ids, at.ID)
		}
	}
	if len(a.Ids) == 0 {
		return nil, nil
	}
	rows, err := q.BrowseJobs(ctx, a)
	found := make([]job.Job, len(rows))
	for i, r := range rows {
		found[i] = job.Job{
			ID: r.ID, QueueName: r.QueueName, Kind: r.Kind, Priority: r.Priority, Status: job.Status(r.Status), DispatchID: number(r.DispatchID),
			AttemptCount: r.AttemptCount, FailureCount: r.FailureCount, LostCount: r.LostCount, MaxAttempts: r.MaxAttempts,
			RunAt: r.RunAt, CreatedAt: r.CreatedAt, DispatchedAt: r.DispatchedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
			WorkerID: text(r.WorkerID), LastError: r.LastError,
		}
	}
	return found, err
}

// statusesOf returns which statuses a word means, none meaning all, and, unless it is
// nil, whether the job must have failed before.
func statusesOf(word string) (statuses []string, failed *bool) {
	yes, no := true, false
	switch word {
	case "":
		return []string{}, nil
	case job.FilterReady:
		return []string{string(job.Queued)}, nil
	case job.FilterScheduled:
		return []string{string(job.Queued)}, &no
	case job.FilterRetrying:
		return []string{string(job.Queued)}, &yes
	case job.FilterOut:
		return []string{string(job.Dispatched), string(job.Running)}, nil
	}
	return []string{word}, nil
}

// moment returns t as a parameter: NULL when it is zero.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
