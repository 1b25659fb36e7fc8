package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// reading is what has been counted up to a moment.
type reading struct {
	at                           time.Time
	inserted, completed, removed int64
	cpu                          map[string]time.Duration
	wal, images                  float64 // bytes; full pages
	updated, hot                 float64
	heap, index, toast           float64 // MB of outbox.jobs with all its partitions
	dead, tables                 int64
}

// reading asks Postgres and /proc. An error leaves zeros, and says so.
func (s *stage) reading(ctx context.Context) reading {
	r := reading{
		at: time.Now(), inserted: s.count.inserted.Load(), completed: s.count.completed.Load(), removed: s.count.removed.Load(),
		cpu: cpu(s.pg.PID()),
	}
	err := s.admin.QueryRow(ctx, `
		SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, (SELECT wal_fpi FROM pg_stat_wal),
			sum(t.n_tup_upd)::float8, sum(t.n_tup_hot_upd)::float8,
			coalesce(sum(pg_relation_size(t.relid)), 0)::float8 / 1e6, coalesce(sum(pg_indexes_size(t.relid)), 0)::float8 / 1e6,
			coalesce(sum(pg_total_relation_size(c.reltoastrelid)), 0)::float8 / 1e6, sum(t.n_dead_tup)::bigint, count(*)
		FROM pg_stat_user_tables AS t JOIN pg_class AS c ON c.oid = t.relid
		WHERE t.schemaname = 'outbox' AND t.relname LIKE 'jobs%' AND c.relkind = 'r'`).
		Scan(&r.wal, &r.images, &r.updated, &r.hot, &r.heap, &r.index, &r.toast, &r.dead, &r.tables)
	if err != nil {
		fmt.Fprintln(os.Stderr, "retention: read point:", err)
	}
	return r
}

// minus leaves what was counted since before; sizes stay what they are.
func (r reading) minus(before reading) reading {
	since := r
	since.inserted -= before.inserted
	since.completed -= before.completed
	since.removed -= before.removed
	since.wal -= before.wal
	since.images -= before.images
	since.updated -= before.updated
	since.hot -= before.hot
	since.cpu = map[string]time.Duration{}
	for kind, d := range r.cpu {
		since.cpu[kind] = d - before.cpu[kind]
	}
	return since
}

// print writes a line; CPU in µs, WAL in bytes, both per completed job.
func (r reading) print(word string) {
	jobs := float64(max(r.completed, 1))
	var line strings.Builder
	sum := 0.0
	for _, kind := range append(roles, "vacuum", "others") {
		us := float64(r.cpu[kind].Nanoseconds()) / 1000 / jobs
		sum += us
		fmt.Fprintf(&line, " %s=%.2f", kind, us)
	}
	hot := "?" // what dropped tables counted has gone with them
	if r.tables == 1 {
		hot = fmt.Sprintf("%.4f", r.hot/max(r.updated, 1))
	}
	fmt.Printf("%s %s inserted=%d completed=%d removed=%d tables=%d heap_mb=%.1f pages=%.0f index_mb=%.1f toast_mb=%.2f dead=%d hot=%s wal=%.0f images=%.4f cpu=%.2f:%s\n",
		word, r.at.Format(time.TimeOnly), r.inserted, r.completed, r.removed, r.tables, r.heap, r.heap*1e6/8192, r.index, r.toast, r.dead,
		hot, r.wal/jobs, r.images/jobs, sum, line.String())
}

// points prints one every 5 s, for so long.
func (s *stage) points(ctx context.Context, long time.Duration, word string) error {
	pace := time.NewTicker(5 * time.Second)
	defer pace.Stop()
	before := s.reading(ctx)
	for end := time.Now().Add(long); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pace.C:
		}
		now := s.reading(ctx)
		now.minus(before).print(word)
		fmt.Println(word, "longest ms", s.seen.longest(before.at))
		before = now
	}
	return nil
}
