package db

import (
	"context"
	"math"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

const maxID = math.MaxInt64

// How many places a round reads at once.
const (
	roundSlice = 1000
	countSlice = job.BrowseCap / 2
)

// round goes through an action's lists from a place on, until it has found enough jobs
// or looked at [job.BrowseCap] places.
type round struct {
	action job.Action
	filter job.Listing
	upTo   int64     // ids above it are passed over
	most   int       // jobs to find
	counts bool      // it changes nothing: what the lists tell of their jobs is enough
	until  time.Time // nothing is read after it; zero: for as long as it takes

	list  int        // which of the lists; moves on
	place *job.Place // the last one looked at; nil: the list's beginning
	ids   []int64    // found
	first []job.Job  // the first [job.PreviewExamples] of them
}

func (r *round) lists() []string { return r.action.Lists(r.filter) }

// ended reports whether there is nothing behind the place.
func (r *round) ended() bool { return r.list >= len(r.lists()) }

// late reports whether its time is up.
func (r *round) late() bool { return !r.until.IsZero() && time.Now().After(r.until) }

func (r *round) run(ctx context.Context, q *query.Queries) error {
	slice := roundSlice
	if r.counts {
		slice = countSlice
	}
	for looked := 0; looked < job.BrowseCap && len(r.ids) < r.most && !r.ended() && !r.late(); {
		list := r.filter
		list.Status = r.lists()[r.list]
		places, err := walkOf(list)(ctx, q, r.place, int32(slice))
		if err != nil {
			return err
		}
		if r.counts && tellsAll(list) {
			err = r.believe(ctx, q, places)
		} else {
			err = r.look(ctx, q, places)
		}
		if err != nil {
			return err
		}
		looked += len(places)
		if len(places) < slice && len(r.ids) < r.most {
			r.list, r.place = r.list+1, nil
		}
	}
	return nil
}

// look reads the jobs at places, and keeps those that match.
func (r *round) look(ctx context.Context, q *query.Queries, places []place) error {
	filter := r.filter
	if len(r.first) == job.PreviewExamples {
		filter.ErrorChars = 1 // nobody is shown them
	}
	found, err := matching(ctx, q, filter, places, len(places))
	if err == nil {
		r.keep(places, found)
	}
	return err
}

// tellsAll reports whether the places of a list say all that its filter asks for. Rows of
// dead_letters and ready are there for as long as their jobs are dead or due.
func tellsAll(list job.Listing) bool {
	if !list.CreatedAfter.IsZero() || !list.CreatedBefore.IsZero() || len(list.Queues) > 0 {
		return false
	}
	return list.Status == string(job.Dead) || list.Status == job.FilterReady && list.Kind == nil
}

// believe keeps the jobs at places without reading them: thousands lie in as many pages
// of Postgres. Only those that are shown are read.
func (r *round) believe(ctx context.Context, q *query.Queries, places []place) error {
	if missing := job.PreviewExamples - len(r.first); missing > 0 {
		found, err := matching(ctx, q, r.filter, places[:min(len(places), 20*missing)], missing)
		if err != nil {
			return err
		}
		r.first = append(r.first, found...)
	}
	for i := range places {
		r.place = &places[i].Place
		if places[i].other || r.place.ID > r.upTo {
			continue
		}
		if r.ids = append(r.ids, r.place.ID); len(r.ids) == r.most {
			return nil
		}
	}
	return nil
}

// keep keeps what the action does something to, as far as there is room. found are the
// jobs that match, in the order of their places.
func (r *round) keep(places []place, found []job.Job) {
	for i := range places {
		r.place = &places[i].Place
		if len(found) == 0 || found[0].ID != r.place.ID {
			continue
		}
		j := found[0]
		found = found[1:]
		if j.ID > r.upTo || !r.action.Takes(j.Status) {
			continue
		}
		if r.ids = append(r.ids, j.ID); len(r.first) < job.PreviewExamples {
			r.first = append(r.first, j)
		}
		if len(r.ids) == r.most {
			return // the next round goes on behind this place
		}
	}
}
