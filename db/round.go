package db

import (
	"context"
	"math"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

const maxID = math.MaxInt64

// roundSlice is how many places a round reads at once.
const roundSlice = 1000

// round goes through an action's lists from a place on, until it has found enough jobs
// or looked at [job.BrowseCap] places.
type round struct {
	action job.Action
	filter job.Listing
	upTo   int64 // ids above it are passed over
	most   int   // jobs to find

	list  int        // which of the lists; moves on
	place *job.Place // the last one looked at; nil: the list's beginning
	ids   []int64    // found
	first []job.Job  // the first [job.PreviewExamples] of them
}

func (r *round) lists() []string { return r.action.Lists(r.filter) }

// ended reports whether there is nothing behind the place.
func (r *round) ended() bool { return r.list >= len(r.lists()) }

func (r *round) run(ctx context.Context, q *query.Queries) error {
	for looked := 0; looked < job.BrowseCap && len(r.ids) < r.most && !r.ended(); {
		list := r.filter
		list.Status = r.lists()[r.list]
		places, err := walkOf(list)(ctx, q, r.place, roundSlice)
		if err != nil {
			return err
		}
		found, err := matching(ctx, q, r.filter, places, len(places))
		if err != nil {
			return err
		}
		r.keep(places, found)
		looked += len(places)
		if len(places) < roundSlice && len(r.ids) < r.most {
			r.list, r.place = r.list+1, nil
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
