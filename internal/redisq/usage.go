package redisq

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Usage is what a Redis has of memory, all masters of a cluster together.
type Usage struct {
	UsedMemory  int64 // bytes
	MaxMemory   int64 // bytes; 0: no limit
	EvictedKeys int64 // thrown away for want of memory since the servers started; must stay 0
}

// Usage asks for nothing but INFO. The error wraps [job.ErrUnavailable] when a server
// does not answer.
func (c *Client) Usage(ctx context.Context) (Usage, error) {
	var mu sync.Mutex
	var all Usage
	add := func(ctx context.Context, rdb redis.Cmdable) error {
		info, err := infoOf(ctx, rdb)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all.UsedMemory += bytesOf(info["used_memory"])
		all.MaxMemory += bytesOf(info["maxmemory"])
		all.EvictedKeys += bytesOf(info["evicted_keys"])
		return nil
	}
	var err error
	if cluster, ok := c.rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return add(ctx, node) })
	} else {
		err = add(ctx, c.rdb)
	}
	if err != nil {
		return Usage{}, fmt.Errorf("ask redis for its memory: %w", translate(err))
	}
	return all, nil
}

// Pool is how the connections to Redis are used.
type Pool struct {
	InUse, Idle uint32
	Timeouts    uint32 // waits for a connection that were given up
}

// Pool describes the connections at this moment, without those that wait for bells.
func (c *Client) Pool() Pool {
	s := c.rdb.PoolStats()
	return Pool{InUse: s.TotalConns - min(s.IdleConns, s.TotalConns), Idle: s.IdleConns, Timeouts: s.Timeouts}
}
