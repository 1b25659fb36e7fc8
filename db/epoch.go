package db

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Queues returns all queues, the life of the Postgres that answered (an epoch that was
// opened on another has ended), and its clock; that is zero when there is no queue.
func (s *Store) Queues(ctx context.Context) (queues []job.Queue, life string, clock time.Time, err error) {
	err = s.on(ctx, "list queues", func(q *query.Queries, here string) error {
		rows, err := q.ListQueues(ctx)
		life = here
		for _, row := range rows {
			clock = row.Clock
			queues = append(queues, job.Queue{
				Name: row.Name, Paused: row.Paused, WindowSize: int(row.WindowSize), KeepFor: job.KeepFor{Retention: row.RetentionSeconds, RetentionDead: row.RetentionDeadSeconds}, Epoch: row.Epoch, Life: row.Life,
				EpochAge: time.Duration(row.EpochAgeMs) * time.Millisecond,
			})
		}
		return err
	})
	return queues, life, clock, err
}

// Register makes queues known that are not yet.
func (s *Store) Register(ctx context.Context, names []string) error {
	return s.on(ctx, "register queues", func(q *query.Queries, life string) error {
		return q.RegisterQueues(ctx, query.RegisterQueuesParams{Names: names, Life: life})
	})
}

// BeginEpoch begins the epoch after both seen, Postgres' own, and redisEpoch, that
// of a Redis which knows a higher one. begun is false when another relay did.
func (s *Store) BeginEpoch(ctx context.Context, name string, seen, redisEpoch int64) (epoch int64, paused, begun bool, err error) {
	err = s.on(ctx, "begin epoch", func(q *query.Queries, life string) error {
		rows, err := q.BeginEpoch(ctx, query.BeginEpochParams{Name: name, SeenEpoch: seen, RedisEpoch: redisEpoch, Life: life})
		for _, row := range rows {
			epoch, paused, begun = row.Epoch, row.Paused, true
		}
		return err
	})
	return epoch, paused, begun, err
}

// WorkersBehind counts the workers of a queue that have not yet announced, in epoch,
// what they run, and have not taken their leave.
func (s *Store) WorkersBehind(ctx context.Context, queue string, epoch int64) (int64, error) {
	var n int64
	err := s.do(ctx, "count workers behind", func(q *query.Queries) error {
		var err error
		n, err = q.WorkersBehind(ctx, query.WorkersBehindParams{QueueName: queue, Epoch: epoch})
		return err
	})
	return n, err
}

// SetPaused pauses a queue or lets it go on; relays carry the word to Redis within
// a second.
func (s *Store) SetPaused(ctx context.Context, queue string, paused bool) error {
	if err := job.CheckQueueName(queue); err != nil {
		return err
	}
	return s.do(ctx, "pause", func(q *query.Queries) error {
		_, err := q.SetPaused(ctx, query.SetPausedParams{Name: queue, Paused: paused})
		return err
	})
}

// SetWindow says how many undelivered jobs of a queue may sit in Redis.
func (s *Store) SetWindow(ctx context.Context, queue string, size int) error {
	if err := checkWindow(queue, size); err != nil {
		return err
	}
	return s.do(ctx, "set window", func(q *query.Queries) error {
		return q.SetWindow(ctx, query.SetWindowParams{Name: queue, WindowSize: int32(size)})
	})
}
