package redisq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// registered is how long a worker is shown after its last Register.
const registered = time.Minute

// Register shows a worker in the registry for a minute. The registry is for
// people: nothing is decided by it. The error wraps [job.ErrUnavailable] when Redis
// does not answer.
func (c *Client) Register(ctx context.Context, p job.Process) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("register worker %s: %w", p.ID, err)
	}
	_, err = c.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, workerKeyPrefix+p.ID, text, registered)
		pipe.SAdd(ctx, workersKey, p.ID)
		return nil
	})
	if err != nil {
		return fmt.Errorf("register worker %s: %w", p.ID, translate(err))
	}
	return nil
}

// Unregister takes a worker out of the registry. The error wraps
// [job.ErrUnavailable] when Redis does not answer.
func (c *Client) Unregister(ctx context.Context, id string) error {
	_, err := c.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.SRem(ctx, workersKey, id)
		pipe.Del(ctx, workerKeyPrefix+id)
		return nil
	})
	if err != nil {
		return fmt.Errorf("unregister worker %s: %w", id, translate(err))
	}
	return nil
}

// Workers returns the registered workers by id, and removes from the registry
// those that have not registered for a minute. The error wraps [job.ErrUnavailable]
// when Redis does not answer.
func (c *Client) Workers(ctx context.Context) ([]job.Process, error) {
	ids, err := c.rdb.SMembers(ctx, workersKey).Result()
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", translate(err))
	}
	if len(ids) == 0 {
		return nil, nil
	}
	pipe, asked := c.rdb.Pipeline(), make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		asked[i] = pipe.Get(ctx, workerKeyPrefix+id)
	}
	// The error of Exec is that of one of the commands, and each is looked at below.
	_, _ = pipe.Exec(ctx)
	var workers []job.Process
	var gone []any
	for i, id := range ids {
		text, err := asked[i].Bytes()
		if errors.Is(err, redis.Nil) {
			gone = append(gone, id)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list workers: %w", translate(err))
		}
		var p job.Process
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, fmt.Errorf("list workers: %s: %w", id, err)
		}
		workers = append(workers, p)
	}
	if len(gone) > 0 {
		// A worker that registers at this very moment is back with its next beat.
		if err := c.rdb.SRem(ctx, workersKey, gone...).Err(); err != nil {
			return nil, fmt.Errorf("list workers: %w", translate(err))
		}
	}
	slices.SortFunc(workers, func(a, b job.Process) int { return strings.Compare(a.ID, b.ID) })
	return workers, nil
}
