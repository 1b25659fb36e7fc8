package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Acting changes jobs and queues for somebody. Each change and its line in outbox.audit
// are one transaction: neither is there without the other. What changes nothing leaves
// no line. A job or queue that they may not act on is [job.ErrNotFound]. Its methods are
// those of [Store] with the same names.
type Acting struct {
	store *Store
	by    job.Actor
}

// As returns the Store in somebody's hands.
func (s *Store) As(by job.Actor) Acting { return Acting{s, by} }

// Cancel is [Store.Cancel].
func (a Acting) Cancel(ctx context.Context, id int64) (bool, error) {
	return a.change(ctx, "cancel", id, (*query.Queries).CancelJob)
}

// Redrive is [Store.Redrive].
func (a Acting) Redrive(ctx context.Context, id int64) (bool, error) {
	return a.change(ctx, "redrive", id, (*query.Queries).RedriveJob)
}

// Delete is [Store.Delete].
func (a Acting) Delete(ctx context.Context, id int64) (bool, error) {
	return a.change(ctx, "delete", id, (*query.Queries).DeleteJob)
}

func (a Acting) change(ctx context.Context, verb string, id int64, do func(*query.Queries, context.Context, int64) (bool, error)) (done bool, err error) {
	err = a.store.changing(ctx, verb, func(q *query.Queries) (c job.Change, _ bool, err error) {
		queue, err := a.queueOf(ctx, q, id) // before: the job may be gone afterwards
		if err != nil {
			return c, false, err
		}
		done, err = do(q, ctx, id)
		return a.by.Did("job."+verb, strconv.FormatInt(id, 10), queue, nil), done, err
	})
	return done && err == nil, err
}

// queueOf returns the queue of a job, for good: a job never goes to another one.
func (a Acting) queueOf(ctx context.Context, q *query.Queries, id int64) (string, error) {
	queue, err := q.QueueOfJob(ctx, id)
	if err == nil && !a.by.Sees(queue) {
		err = pgx.ErrNoRows
	}
	return queue, err
}

// Clone is [Store.Clone].
func (a Acting) Clone(ctx context.Context, id int64) (clone int64, err error) {
	err = a.store.changing(ctx, "clone", func(q *query.Queries) (c job.Change, _ bool, err error) {
		queue, err := a.queueOf(ctx, q, id)
		if err != nil {
			return c, false, err
		}
		clone, err = q.CloneJob(ctx, id)
		return a.by.Did("job.clone", strconv.FormatInt(clone, 10), queue, map[string]int64{"of": id}), true, err
	})
	return clone, err
}

// SetPaused is [Store.SetPaused].
func (a Acting) SetPaused(ctx context.Context, queue string, paused bool) error {
	if err := a.checkQueue(queue); err != nil {
		return err
	}
	action := "queue.resume"
	if paused {
		action = "queue.pause"
	}
	return a.store.changing(ctx, "pause", func(q *query.Queries) (job.Change, bool, error) {
		rows, err := q.SetPaused(ctx, query.SetPausedParams{Name: queue, Paused: paused})
		return a.by.Did(action, queue, queue, nil), rows > 0, err
	})
}

// SetWindow is [Store.SetWindow].
func (a Acting) SetWindow(ctx context.Context, queue string, size int) error {
	if err := checkWindow(queue, size); err != nil {
		return err
	}
	return a.SetQueue(ctx, queue, job.QueueChange{Window: size})
}

// SetQueue makes all of a change of a queue or none of it, with a line for its window and
// one for its retention. What breaks a limit is a [*job.FieldError].
func (a Acting) SetQueue(ctx context.Context, queue string, c job.QueueChange) error {
	if err := errors.Join(a.checkQueue(queue), c.Check()); err != nil {
		return err
	}
	err := a.store.transact(ctx, "set queue", func(q *query.Queries) error {
		if c.Window > 0 {
			if err := q.SetWindow(ctx, query.SetWindowParams{Name: queue, WindowSize: int32(c.Window)}); err != nil {
				return err
			}
			if err := a.store.record(ctx, q, a.by.Did("queue.window", queue, queue, map[string]int{"window_size": c.Window})); err != nil {
				return err
			}
		}
		said := map[string]*int64{}
		if c.Keep.SetRetention {
			said["retention_seconds"] = c.Keep.Retention
		}
		if c.Keep.SetRetentionDead {
			said["retention_dead_seconds"] = c.Keep.RetentionDead
		}
		if len(said) == 0 {
			return nil
		}
		if err := q.SetRetention(ctx, query.SetRetentionParams{
			Name: queue, RetentionSeconds: c.Keep.Retention, SetRetention: c.Keep.SetRetention,
			RetentionDeadSeconds: c.Keep.RetentionDead, SetRetentionDead: c.Keep.SetRetentionDead,
		}); err != nil {
			return err
		}
		return a.store.record(ctx, q, a.by.Did("queue.retention", queue, queue, said))
	})
	return a.store.done(err)
}

// checkQueue returns an error unless a queue may have the name, and they may act on it.
func (a Acting) checkQueue(name string) error {
	if err := job.CheckQueueName(name); err != nil {
		return err
	}
	if !a.by.Sees(name) {
		return job.ErrNotFound
	}
	return nil
}

func checkWindow(queue string, size int) error {
	if err := job.CheckQueueName(queue); err != nil {
		return err
	}
	if size < 1 || size > job.MaxWindow {
		return &job.FieldError{Field: "window_size", Problem: fmt.Sprintf("is %d, must be 1 to %d", size, job.MaxWindow)}
	}
	return nil
}
