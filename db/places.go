package db

import (
	"context"
	"math"
	"strings"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// place is where a job stands in a list.
type place struct {
	job.Place
	other bool // what stands there says that its job is none of those asked for
}

// walk reads the next places of a list behind from; nil is before the first.
type walk func(ctx context.Context, q *query.Queries, from *job.Place, slice int32) ([]place, error)

// byNewest reports whether a list has all jobs, by id.
func byNewest(status string) bool {
	switch status {
	case job.FilterReady, job.FilterScheduled, job.FilterRetrying, job.FilterOut, string(job.Dispatched), string(job.Running), string(job.Dead):
		return false
	}
	return true
}

// walkOf returns the walk whose index fits the listing's status.
func walkOf(l job.Listing) walk {
	switch l.Status {
	case job.FilterReady:
		if l.QueueName != "" {
			return readyPlacesOf(l.QueueName)
		}
		return readyPlaces
	case job.FilterScheduled, job.FilterRetrying:
		return scheduledPlaces(l.QueueName)
	case job.FilterOut, string(job.Dispatched), string(job.Running):
		return outPlaces(l.QueueName)
	case string(job.Dead):
		return deadPlaces(l)
	}
	return newestPlaces
}

func newestPlaces(ctx context.Context, q *query.Queries, from *job.Place, slice int32) ([]place, error) {
	ids, err := q.NewestPlaces(ctx, query.NewestPlacesParams{BeforeID: before(from), Slice: slice})
	return byID(ids), err
}

func outPlaces(queue string) walk {
	return func(ctx context.Context, q *query.Queries, from *job.Place, slice int32) ([]place, error) {
		ids, err := q.OutPlaces(ctx, query.OutPlacesParams{QueueName: queue, BeforeID: before(from), Slice: slice})
		return byID(ids), err
	}
}

func before(from *job.Place) int64 {
	if from == nil {
		return math.MaxInt64
	}
	return from.ID
}

func byID(ids []int64) []place {
	places := make([]place, len(ids))
	for i, id := range ids {
		places[i].ID = id
	}
	return places
}

func readyPlaces(ctx context.Context, q *query.Queries, from *job.Place, slice int32) ([]place, error) {
	if from == nil {
		from = &job.Place{Priority: math.MinInt16}
	}
	rows, err := q.ReadyPlaces(ctx, query.ReadyPlacesParams{AfterQueueName: from.QueueName, AfterPriority: from.Priority, AfterID: from.ID, Slice: slice})
	places := make([]place, len(rows))
	for i, r := range rows {
		places[i].Place = job.Place{ID: r.JobID, QueueName: r.QueueName, Priority: r.Priority}
	}
	return places, err
}

func readyPlacesOf(queue string) walk {
	return func(ctx context.Context, q *query.Queries, from *job.Place, slice int32) ([]place, error) {
		if from == nil {
			from = &job.Place{Priority: math.MinInt16}
		}
		rows, err := q.ReadyPlacesOfQueue(ctx, query.ReadyPlacesOfQueueParams{QueueName: queue, AfterPriority: from.Priority, AfterID: from.ID, Slice: slice})
		places := make([]place, len(rows))
		for i, r := range rows {
			places[i].Place = job.Place{ID: r.JobID, QueueName: queue, Priority: r.Priority}
		}
		return places, err
	}
}

func scheduledPlaces(queue string) walk {
	return func(ctx context.Context, q *query.Queries, from *job.Place, slice int32) ([]place, error) {
		if from == nil {
			from = &job.Place{} // run_at is later than the year 1
		}
		rows, err := q.ScheduledPlaces(ctx, query.ScheduledPlacesParams{AfterRunAt: from.At, AfterID: from.ID, Slice: slice})
		places := make([]place, len(rows))
		for i, r := range rows {
			places[i] = place{job.Place{ID: r.JobID, At: r.RunAt}, queue != "" && r.QueueName != queue}
		}
		return places, err
	}
}

func deadPlaces(l job.Listing) walk {
	return func(ctx context.Context, q *query.Queries, from *job.Place, slice int32) ([]place, error) {
		if from == nil {
			from = &job.Place{At: job.LastRunAt(), ID: math.MaxInt64}
		}
		rows, err := q.DeadPlaces(ctx, query.DeadPlacesParams{BeforeDeadAt: from.At, BeforeID: from.ID, DiedAfter: l.DiedAfter, Slice: slice})
		places := make([]place, len(rows))
		prefix, open := l.KindPrefix()
		for i, r := range rows {
			other := l.QueueName != "" && r.QueueName != l.QueueName || !open && r.Kind != prefix || !strings.HasPrefix(r.Kind, prefix)
			places[i] = place{job.Place{ID: r.JobID, At: r.DeadAt}, other}
		}
		return places, err
	}
}
