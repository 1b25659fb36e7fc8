package lab

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Usage is what a run has used, summed over all jobs.
type Usage struct {
	CPU map[string]float64 // seconds by group: postgres, redis, relay, producers, workers

	Statements  float64 // 0 when they were not counted
	Commits     float64 // transactions that ended well, reading ones too
	Flushes     float64 // of the WAL
	WALBytes    float64
	FullPages   float64 // page images in it, after a checkpoint
	Inserted    float64 // row versions
	Updated     float64
	HOT         float64 // of the updated ones
	Deleted     float64
	RedisCalls  float64 // commands, those inside scripts too
	RedisTrips  float64 // commands that came over a connection, blocking waits too
	RedisIn     float64 // bytes
	RedisOut    float64
	Mallocs     float64 // of Go actors
	MallocBytes float64
}

// CPU returns the CPU seconds that each group has used so far.
func (l *Lab) CPU() map[string]float64 {
	out := map[string]float64{"redis": cpu(l.redis.PID()).Seconds(), "postgres": postgresCPU(l.pg.PID()).Seconds()}
	for _, a := range l.actors {
		select {
		case <-a.ended:
			s := a.cmd.ProcessState
			out[a.Group] += (s.UserTime() + s.SystemTime()).Seconds()
		default:
			out[a.Group] += cpu(a.cmd.Process.Pid).Seconds()
		}
	}
	return out
}

// Counters reads what the servers have counted. Sessions tell Postgres what they did
// when they end, or once a second while they work, so it is read when the actors
// have ended. CPU is not in it.
func (l *Lab) Counters(ctx context.Context) (u Usage, err error) {
	if err = pause(ctx, 1100e6); err != nil {
		return u, err
	}
	err = l.Pool.QueryRow(ctx, `
		SELECT (SELECT sum(xact_commit) FROM pg_stat_database), (SELECT wal_sync FROM pg_stat_wal),
			(SELECT wal_bytes FROM pg_stat_wal)::float8, (SELECT wal_fpi FROM pg_stat_wal),
			coalesce(sum(n_tup_ins), 0), coalesce(sum(n_tup_upd), 0), coalesce(sum(n_tup_hot_upd), 0), coalesce(sum(n_tup_del), 0)
		FROM pg_stat_user_tables`).Scan(&u.Commits, &u.Flushes, &u.WALBytes, &u.FullPages, &u.Inserted, &u.Updated, &u.HOT, &u.Deleted)
	if err == nil && l.o.Counted {
		err = l.Pool.QueryRow(ctx, `SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements`).Scan(&u.Statements)
	}
	if err != nil {
		return u, fmt.Errorf("read Postgres' counters: %w", err)
	}
	info, err := l.Redis.Info(ctx, "stats", "commandstats").Result()
	if err != nil {
		return u, fmt.Errorf("read Redis' counters: %w", err)
	}
	inScripts := 0.0
	for row := range strings.SplitSeq(info, "\r\n") {
		name, value, _ := strings.Cut(row, ":")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "total_commands_processed":
			u.RedisTrips = n
		case "total_net_input_bytes":
			u.RedisIn = n
		case "total_net_output_bytes":
			u.RedisOut = n
		}
		if strings.HasPrefix(name, "cmdstat_") {
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			n, _ := strconv.ParseFloat(calls, 64)
			inScripts += n
		}
	}
	u.RedisCalls = inScripts
	return u, nil
}

// Statement is one statement that Postgres has run, with its time in ms.
type Statement struct {
	Text        string  `json:"text"`
	Calls, Rows float64 `json:"-"`
	Ms          float64 `json:"ms"`
}

// Statements returns the statements that took the most time, when they were counted.
func (l *Lab) Statements(ctx context.Context, most int) ([]Statement, error) {
	rows, err := l.Pool.Query(ctx, `SELECT regexp_replace(left(query, 120), '\s+', ' ', 'g'), calls::float8, rows::float8, total_exec_time
		FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT $1`, most)
	if err != nil {
		return nil, fmt.Errorf("list statements: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Statement])
}

// Minus returns what was used since before.
func (u Usage) Minus(before Usage) Usage {
	u.Statements -= before.Statements
	u.Commits -= before.Commits
	u.Flushes -= before.Flushes
	u.WALBytes -= before.WALBytes
	u.FullPages -= before.FullPages
	u.Inserted -= before.Inserted
	u.Updated -= before.Updated
	u.HOT -= before.HOT
	u.Deleted -= before.Deleted
	u.RedisCalls -= before.RedisCalls
	u.RedisTrips -= before.RedisTrips
	u.RedisIn -= before.RedisIn
	u.RedisOut -= before.RedisOut
	return u
}

// Minus returns the difference of two readings of CPU.
func Minus(after, before map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for k, v := range after {
		out[k] = v - before[k]
	}
	return out
}

// Allocations adds up what the actors that have ended allocated.
func (l *Lab) Allocations() (mallocs, bytes float64) {
	for _, a := range l.actors {
		select {
		case <-a.ended:
			mallocs += float64(a.last.Mallocs)
			bytes += float64(a.last.Bytes)
		default:
		}
	}
	return mallocs, bytes
}
