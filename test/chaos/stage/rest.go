package stage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// Left says what is under way or left in Postgres and Redis: all of it is 0 at rest.
// unfinished are jobs that have no final status.
func (s *Stage) Left(ctx context.Context) (map[string]int64, error) {
	left := map[string]int64{}
	const count = `SELECT (SELECT count(*) FROM outbox.ready), (SELECT count(*) FROM outbox.scheduled),
		(SELECT count(*) FROM outbox.dispatches), (SELECT count(*) FROM outbox.cancels),
		(SELECT count(*) FROM outbox.jobs WHERE status NOT IN ('completed', 'dead', 'cancelled'))`
	var n [5]int64
	if err := s.Admin().QueryRow(ctx, count).Scan(&n[0], &n[1], &n[2], &n[3], &n[4]); err != nil {
		return nil, fmt.Errorf("count tables: %w", err)
	}
	for i, name := range []string{"ready", "scheduled", "dispatches", "cancels", "unfinished"} {
		left[name] = n[i]
	}
	waiting, err := s.waiting(ctx)
	if err != nil {
		return nil, err
	}
	maps.Copy(left, waiting)
	return left, nil
}

// waiting counts what lies in Redis.
func (s *Stage) waiting(ctx context.Context) (map[string]int64, error) {
	client, err := s.lookRedis(ctx)
	if err != nil || client == nil {
		return nil, err
	}
	left := map[string]int64{}
	if client == nil {
		return left, nil
	}
	for _, name := range s.Options.Queues {
		key := "queue:{" + name + "}"
		pipe := client.Pipeline()
		sets := []*redis.IntCmd{pipe.ZCard(ctx, key+":leases"), pipe.ZCard(ctx, key+":lost"), pipe.ZCard(ctx, key+":permits")}
		lists := []*redis.IntCmd{pipe.LLen(ctx, key+":high"), pipe.LLen(ctx, key), pipe.LLen(ctx, key+":low")}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("count in redis: %w", err)
		}
		left["leases"] += sets[0].Val()
		left["lost"] += sets[1].Val()
		left["permits"] += sets[2].Val()
		for _, l := range lists {
			left["waiting"] += l.Val()
		}
	}
	return left, nil
}

// LookRedis has the stage look at another Redis than the one it began with: the
// client of a cluster or of the master after a failover. A nil client means that
// Redis is away for good, and is not looked at.
func (s *Stage) LookRedis(look func(ctx context.Context) (redis.UniversalClient, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look = look
}

func (s *Stage) lookRedis(ctx context.Context) (redis.UniversalClient, error) {
	s.mu.Lock()
	look := s.look
	s.mu.Unlock()
	if look == nil {
		return s.rdb, nil
	}
	return look(ctx)
}

// Rest waits until nothing is under way and nothing is left.
func (s *Stage) Rest(ctx context.Context, limit time.Duration) error {
	var last map[string]int64
	err := Until(ctx, limit, "rest", func(ctx context.Context) (bool, error) {
		left, err := s.Left(ctx)
		if err != nil {
			return false, err
		}
		last = left
		for _, n := range left {
			if n != 0 {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("%w; left: %v", err, last)
	}
	return nil
}

// Watch samples what waits in each queue every 200 ms, until stop is called. A Redis
// that does not answer is not sampled.
func (s *Stage) Watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for Sleep(ctx, 200*time.Millisecond) == nil {
			client, err := s.lookRedis(ctx)
			if err != nil || client == nil {
				continue
			}
			for _, name := range s.Options.Queues {
				s.sample(ctx, client, name)
			}
		}
	}()
	return func() { cancel(); <-done }
}

func (s *Stage) sample(ctx context.Context, client redis.UniversalClient, name string) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	key := "queue:{" + name + "}"
	// One transaction, so that a job on its way from list to list counts once.
	pipe := client.TxPipeline()
	lists := []*redis.IntCmd{pipe.LLen(ctx, key+":high"), pipe.LLen(ctx, key), pipe.LLen(ctx, key+":low")}
	if _, err := pipe.Exec(ctx); err != nil {
		return
	}
	var depth int64
	for _, l := range lists {
		depth += l.Val()
	}
	if depth > 0 {
		_ = s.Log.Note(history.Act{Word: history.Sample, Key: name, Depth: depth}) // a full disk shows as a run without history
	}
}

// Facts reads the final tables and the history.
func (s *Stage) Facts(ctx context.Context) (*verify.Facts, error) {
	f := &verify.Facts{Endpoints: s.endpointFacts()}
	var err error
	if f.Acts, err = history.Read(s.History()); err != nil {
		return nil, err
	}
	if f.Left, err = s.Left(ctx); err != nil {
		return nil, err
	}
	if f.Jobs, err = collect[verify.Job](ctx, s, `SELECT id, coalesce(payload ->> 'key', ''), queue_name, status, coalesce(dispatch_id, 0), attempt_count,
		failure_count, lost_count, priority, coalesce(last_error, '') FROM outbox.jobs`); err != nil {
		return nil, err
	}
	if f.Changes, err = collect[verify.Change](ctx, s, `SELECT n, (extract(epoch FROM at) * 1000000)::bigint, job_id, was, becomes,
		coalesce(was_dispatch, 0), coalesce(dispatch, 0), attempt, failures, losses FROM chaos.changes`); err != nil {
		return nil, err
	}
	if f.Attempts, err = collect[verify.Attempt](ctx, s, `SELECT job_id, attempt_count, outcome FROM outbox.attempts`); err != nil {
		return nil, err
	}
	return f, nil
}

func collect[T any](ctx context.Context, s *Stage, sql string) ([]T, error) {
	rows, err := s.Admin().Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("read tables: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		return nil, fmt.Errorf("read tables: %w", err)
	}
	return list, nil
}

// bugs are what a process says that has one.
var bugs = []string{"WARNING: DATA RACE", "panic: runtime error", "fatal error: ", "please report this"}

// Said returns the lines of the logs that no process may ever write.
func (s *Stage) Said() []string {
	var found []string
	for _, p := range s.Processes("") {
		for _, bad := range slices.Concat(bugs, refusals) {
			if line, ok := p.said(bad); ok {
				found = append(found, p.Name+" said: "+line)
			}
		}
	}
	slices.Sort(found)
	return found
}

// cut shortens a line for a table.
func cut(line string) string {
	line = strings.TrimSpace(line)
	if len(line) > 300 {
		return line[:300] + "…"
	}
	return line
}
