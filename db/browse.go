package db

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// browseSlice is how many places are read at once when not all of them may match.
const browseSlice = 1000

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
	slice := l.Limit + 1
	if l.Narrow() {
		slice = max(slice, browseSlice)
	}
	var last *job.Place // of the jobs shown
	from := l.From
	for looked := 0; looked < job.BrowseCap; {
		asked := min(slice, job.BrowseCap-looked)
		places, err := walk(ctx, q, from, int32(asked))
		if err != nil {
			return err
		}
		found, err := matching(ctx, q, l, places)
		if err != nil {
			return err
		}
		for i := range places {
			j, ok := found[places[i].ID]
			if !ok {
				continue
			}
			if len(p.Jobs) == l.Limit {
				p.Next = last
				return nil
			}
			p.Jobs, last = append(p.Jobs, j), &places[i]
		}
		if len(places) < asked {
			return nil // the end of the list
		}
		from, looked = &places[len(places)-1], looked+len(places)
	}
	p.Next, p.Capped = from, true
	return nil
}

// matching returns those jobs at places that the listing asks for, by id.
func matching(ctx context.Context, q *query.Queries, l job.Listing, places []job.Place) (map[int64]job.Job, error) {
	a := query.BrowseJobsParams{QueueName: l.QueueName, Kind: l.Kind, CreatedAfter: moment(l.CreatedAfter), CreatedBefore: moment(l.CreatedBefore)}
	a.Statuses, a.Failed = statusesOf(l.Status)
	for _, at := range places {
		a.Ids = append(a.Ids, at.ID)
	}
	rows, err := q.BrowseJobs(ctx, a)
	found := make(map[int64]job.Job, len(rows))
	for _, r := range rows {
		found[r.ID] = jobOf(query.GetJobFactsRow(r))
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
