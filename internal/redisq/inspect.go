package redisq

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Server is what a Redis says of itself. Of a cluster it is the master with the
// worst settings; the memory is that of all masters together.
type Server struct {
	Version        string `json:"version"` // of Valkey, the Redis version it is compatible with
	Flavor         string `json:"flavor"`  // redis or valkey
	Mode           string `json:"mode"`    // standalone, cluster or sentinel (somebody gave the wrong port)
	Role           string `json:"role"`    // master or slave, Redis' own words
	RunID          string `json:"run_id"`  // the life
	Masters        int    `json:"masters"` // 1 unless it is a cluster
	EvictionPolicy string `json:"maxmemory_policy"`
	AppendOnly     bool   `json:"appendonly"`
	Save           string `json:"save"`                     // when snapshots are written; unknown unless ConfigRead
	ConfigRead     bool   `json:"config_read"`              // CONFIG GET was allowed
	ScriptProblem  string `json:"script_problem,omitempty"` // why scripts cannot read the run_id; empty: they can
	UsedMemory     int64  `json:"used_memory"`              // bytes
	MaxMemory      int64  `json:"maxmemory"`                // bytes; 0: no limit
}

// Evicts reports whether a full Redis would throw keys away, jobs among them.
func (s Server) Evicts() bool { return s.EvictionPolicy != "noeviction" }

// Inspect asks the server, or every master of the cluster, about itself. A CONFIG
// that is renamed or forbidden is no error. The error wraps [job.ErrUnavailable]
// when a server does not answer.
func (c *Client) Inspect(ctx context.Context) (Server, error) {
	cluster, ok := c.rdb.(*redis.ClusterClient)
	if !ok {
		s, err := inspect(ctx, c.rdb)
		if err != nil {
			return Server{}, fmt.Errorf("inspect redis: %w", translate(err))
		}
		return s, nil
	}
	var mu sync.Mutex
	var all Server
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		s, err := inspect(ctx, node)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all = worse(all, s)
		return nil
	})
	if err != nil {
		return Server{}, fmt.Errorf("inspect redis: %w", translate(err))
	}
	return all, nil
}

func inspect(ctx context.Context, rdb redis.Cmdable) (Server, error) {
	info, err := infoOf(ctx, rdb)
	if err != nil {
		return Server{}, err
	}
	s := Server{
		Version: info["redis_version"], Flavor: "redis", Mode: info["redis_mode"], Role: info["role"],
		RunID: info["run_id"], Masters: 1, EvictionPolicy: info["maxmemory_policy"], AppendOnly: info["aof_enabled"] == "1",
		UsedMemory: bytesOf(info["used_memory"]), MaxMemory: bytesOf(info["maxmemory"]),
	}
	if info["valkey_version"] != "" {
		s.Flavor = "valkey"
	}
	if save, err := rdb.ConfigGet(ctx, "save").Result(); err == nil {
		s.Save, s.ConfigRead = save["save"], true
	}
	const ask = "#!lua flags=no-writes\nreturn string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"
	switch life, err := rdb.Eval(ctx, ask, nil).Text(); {
	case err != nil:
		s.ScriptProblem = err.Error()
	case life != s.RunID:
		s.ScriptProblem = "a script read another run_id"
	}
	return s, nil
}

func infoOf(ctx context.Context, rdb redis.Cmdable) (map[string]string, error) {
	text, err := rdb.Info(ctx).Result()
	if err != nil {
		return nil, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[key] = value
		}
	}
	return info, nil
}

// worse adds a master to those seen so far.
func worse(all, s Server) Server {
	worst := all
	if all.Masters == 0 || rank(s) > rank(all) || rank(s) == rank(all) && s.RunID < all.RunID {
		worst = s
	}
	worst.Masters = all.Masters + s.Masters
	worst.UsedMemory, worst.MaxMemory = all.UsedMemory+s.UsedMemory, all.MaxMemory+s.MaxMemory
	return worst
}

func rank(s Server) int {
	bad := 0
	if s.Evicts() {
		bad += 4
	}
	if s.ScriptProblem != "" {
		bad += 2
	}
	return bad + flag(!s.AppendOnly)
}

func bytesOf(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // absent: 0
	return n
}
