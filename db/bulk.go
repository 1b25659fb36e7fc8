package db

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// auditIDs is how many ids one line of outbox.audit names: its detail holds 4 kB.
const auditIDs = 150

// ChangeMany does one thing to up to [job.MaxBulk] jobs, and says what became of each, by
// their ids, each once. Jobs that are in another status already are left alone, so it may
// be sent again. Jobs of queues that who may not act on are answered as if they were not
// there, and are not touched. It takes a transaction for every [job.BulkBatch], each with its lines
// in outbox.audit: after an error, those before it are done.
func (s *Store) ChangeMany(ctx context.Context, who job.Actor, action job.Action, ids []int64) ([]job.Changed, error) {
	if len(ids) > job.MaxBulk {
		return nil, &job.FieldError{Field: "ids", Problem: fmt.Sprintf("are %d, must be at most %d", len(ids), job.MaxBulk)}
	}
	var out []job.Changed
	for part := range slices.Chunk(job.SortedIDs(ids), job.BulkBatch) {
		var changed []job.Changed
		err := s.transact(ctx, "change jobs", func(q *query.Queries) (err error) {
			changed, err = s.changePart(ctx, q, who, action, part)
			return err
		})
		if err != nil {
			return out, err
		}
		out = append(out, changed...)
	}
	return out, nil
}

func (s *Store) changePart(ctx context.Context, q *query.Queries, who job.Actor, action job.Action, ids []int64) ([]job.Changed, error) {
	seen, err := visible(ctx, q, who, ids)
	if err != nil {
		return nil, err
	}
	done, err := changeJobs(ctx, q, action, seen)
	if err != nil {
		return nil, err
	}
	slices.Sort(done)
	for part := range slices.Chunk(done, auditIDs) {
		names := make([]string, len(part))
		for i, id := range part {
			names[i] = strconv.FormatInt(id, 10)
		}
		c := who.Did("job."+string(action), fmt.Sprintf("%d jobs", len(part)), "", map[string][]string{"ids": names})
		if err := s.record(ctx, q, c); err != nil {
			return nil, err
		}
	}
	rows, err := q.StatusesOf(ctx, seen)
	if err != nil {
		return nil, err
	}
	statuses := make(map[int64]job.Status, len(rows))
	for _, r := range rows {
		statuses[r.ID] = job.Status(r.Status)
	}
	out := make([]job.Changed, len(ids))
	for i, id := range ids {
		_, yes := slices.BinarySearch(done, id)
		out[i] = job.Changed{ID: id, Done: yes, Status: statuses[id]}
	}
	return out, nil
}

// visible returns those of some jobs that who may act on. A job never goes to another
// queue, so what is done next finds the same.
func visible(ctx context.Context, q *query.Queries, who job.Actor, ids []int64) ([]int64, error) {
	if len(who.Queues) == 0 {
		return ids, nil
	}
	rows, err := q.QueuesOfJobs(ctx, ids)
	seen := []int64{} // NULL is no array
	for _, r := range rows {
		if who.Sees(r.QueueName) {
			seen = append(seen, r.ID)
		}
	}
	return seen, err
}

// changeJobs returns the ids of those jobs that it changed.
func changeJobs(ctx context.Context, q *query.Queries, action job.Action, ids []int64) ([]int64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	switch action {
	case job.ActionCancel:
		return q.CancelMany(ctx, ids)
	case job.ActionPurge:
		return q.PurgeMany(ctx, ids)
	case job.ActionRedrive:
		return q.RedriveMany(ctx, ids)
	case job.ActionDelete:
		return q.DeleteMany(ctx, ids)
	}
	return nil, &job.FieldError{Field: "action", Problem: fmt.Sprintf("is %.40q", action)}
}

// PreviewMany looks at [job.BrowseCap] places for what an action would be done to. Bad
// input is a [*job.FieldError].
func (s *Store) PreviewMany(ctx context.Context, action job.Action, l job.Listing) (job.Preview, error) {
	if err := job.CheckBulk(action, l); err != nil {
		return job.Preview{}, err
	}
	p := job.Preview{Examples: []job.Job{}}
	err := s.seeing(ctx, "preview", func(q *query.Queries) error {
		r := round{action: action, filter: l, upTo: maxID, most: job.BrowseCap, counts: true}
		err := r.run(ctx, q)
		p.Matched, p.Capped = int64(len(r.ids)), !r.ended()
		p.Examples = append([]job.Job{}, r.first...)
		return err
	})
	return p, err
}
