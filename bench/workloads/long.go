package workloads

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
)

// longCases are the workloads that run for long, or over a large table.
func longCases(b *Bench) []Case {
	minutes, crowds, watched, drained := 10.0, []int64{0, 1_000_000}, 30, 20.0
	if b.Short {
		minutes, crowds, watched, drained = 0.15, []int64{100_000}, 5, 3
	}
	all := []Case{
		{Workload: "g", Name: "steady", Systems: b.fewer(pair, ours...), Rounds: 1, Measure: steady{minutes: minutes}.measure},
		{Workload: "h", Name: "old-snapshot", Systems: b.fewer(pair, ours...), Rounds: 1, Measure: steady{minutes: minutes, snapshot: true}.measure},
	}
	for _, backlog := range []int64{10_000, 100_000, 1_000_000, 10_000_000} {
		if backlog > 10_000 && b.Short {
			break
		}
		all = append(all, Case{Workload: "i", Name: fmt.Sprintf("backlog-%d", backlog), Systems: ours, Rounds: 1, Measure: deep{backlog: backlog, seconds: drained}.measure})
	}
	for _, waiting := range crowds {
		all = append(all, Case{Workload: "j", Name: fmt.Sprintf("one-of-50-has-%d", waiting), Systems: ours, Measure: crowd{waiting: waiting}.measure})
	}
	return append(all, Case{Workload: "k", Name: "scheduled", Systems: ours, Rounds: 1, Measure: timetable{jobs: b.scaled(1_000_000), watched: watched}.measure})
}

// steady inserts and drains as fast as it goes, for minutes, autovacuum on, and looks
// at the tables every ten seconds. Producers wait while more than two seconds' worth
// of jobs are on their way, as producers whose users wait for them do.
type steady struct {
	minutes  float64
	snapshot bool // an old one is held open all the while
}

const steadyChunk = 50_000

func (c steady) measure(ctx context.Context, b *Bench, system string) (r Run, err error) {
	s, err := b.stage(ctx, system, map[string]string{"autovacuum_naptime": "10s"}, "ROOKERY_RETENTION=1m")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if c.snapshot {
		held, err := s.Pool.Begin(ctx)
		if err != nil {
			return r, err
		}
		defer func() { _ = held.Rollback(ctx) }()
		if _, err := held.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class`); err != nil {
			return r, err
		}
	}
	if err := s.work(ctx, 1, 1, false); err != nil {
		return r, err
	}
	if err := s.count(ctx); err != nil {
		return r, err
	}
	look := time.Duration(c.minutes * float64(time.Minute) / 60)
	next, last, lastJobs := s.began.Add(look), s.began, int64(0)
	for inserted := int64(0); time.Since(s.began).Minutes() < c.minutes; {
		p, err := s.Start(ctx, "producers", "produce", false, "-jobs", num(steadyChunk), "-first", num(inserted))
		if err != nil {
			return r, err
		}
		if err := p.Go(); err != nil {
			return r, err
		}
		if _, _, err := p.Wait(ctx); err != nil {
			return r, err
		}
		inserted += steadyChunk
		at, err := s.ran(ctx, inserted-steadyChunk)
		if err != nil {
			return r, err
		}
		if at.After(next) {
			done, _ := s.workers[0].Ran()
			point, err := s.tables(ctx)
			if err != nil {
				return r, err
			}
			point["seconds"] = at.Sub(s.began).Seconds()
			point["rate"] = float64(done-lastJobs) / at.Sub(last).Seconds()
			r.Series = append(r.Series, point)
			next, last, lastJobs = at.Add(look), at, done
		}
		r.Jobs = inserted
	}
	end, err := s.ran(ctx, r.Jobs)
	if err != nil {
		return r, err
	}
	r.Seconds = end.Sub(s.began).Seconds()
	r.CPU = lab.Minus(s.CPU(), s.cpu)
	r.Extra = Tenths(r.Series)
	return r, s.done(ctx, &r)
}

// Tenths are the rates of a run's first minute, its second and its last. In the first
// nothing is old enough to be deleted yet; every later one bears that too.
func Tenths(series []map[string]float64) map[string]float64 {
	n := len(series)
	if n < 2 {
		return nil
	}
	k := max(n/10, 1)
	return map[string]float64{"first_tenth": mean(series[:k]), "second_tenth": mean(series[k : 2*k]), "last_tenth": mean(series[n-k:])}
}

func mean(points []map[string]float64) float64 {
	var sum float64
	for _, p := range points {
		sum += p["rate"]
	}
	return sum / float64(len(points))
}

// tables says how large the system's tables are, and how many dead rows they have.
func (s *stage) tables(ctx context.Context) (map[string]float64, error) {
	rows, err := s.Pool.Query(ctx, `SELECT relname, n_dead_tup::float8, pg_total_relation_size(relid)::float8 FROM pg_stat_user_tables WHERE relname IN ('jobs', 'ready', 'dispatches', 'river_job')`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]float64{}
	for rows.Next() {
		var name string
		var dead, size float64
		if err := rows.Scan(&name, &dead, &size); err != nil {
			return nil, err
		}
		out[name+"_dead"], out[name+"_mb"] = dead, size/1e6
	}
	return out, rows.Err()
}

// deep drains for twenty seconds from a backlog, and watches Redis' memory. At every
// backlog the same producers make up for what has run, so that the smallest lasts as long
// as the largest, and all bear the same load.
type deep struct {
	backlog int64
	seconds float64
}

// deepChunk is how many jobs one call of the producers makes up for.
const deepChunk = 10_000

func (c deep) measure(ctx context.Context, b *Bench, system string) (r Run, err error) {
	s, err := b.stage(ctx, system, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.backlog(ctx, c.backlog); err != nil {
		return r, err
	}
	if _, err := s.Pool.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return r, err
	}
	before, err := s.redisMemory(ctx)
	if err != nil {
		return r, err
	}
	if err := s.count(ctx); err != nil {
		return r, err
	}
	if err := s.work(ctx, 1, 1, false); err != nil {
		return r, err
	}
	first, err := s.ran(ctx, 1)
	if err != nil {
		return r, err
	}
	began, _ := s.workers[0].Ran()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	most := make(chan float64, 1) // one: sent once
	go func() { most <- s.mostMemory(watching, before) }()
	least, err := s.topUp(ctx, c.backlog, first.Add(time.Duration(c.seconds*float64(time.Second))))
	if err != nil {
		return r, err
	}
	ran, _ := s.workers[0].Ran()
	r.Jobs, r.Seconds = ran-began, time.Since(first).Seconds()
	stop()
	r.Extra = map[string]float64{"redis_mb": <-most / 1e6, "least_waiting": float64(least)}
	return r, s.done(ctx, &r)
}

// topUp inserts a chunk whenever no more than backlog jobs are left, until the end, and
// returns how few were left at least.
func (s *stage) topUp(ctx context.Context, backlog int64, end time.Time) (least int64, err error) {
	inserted := backlog
	for least = backlog; time.Now().Before(end); inserted += deepChunk {
		p, err := s.Start(ctx, "producers", "produce", false, "-jobs", num(deepChunk), "-first", num(inserted), "-per-tx", "500", "-producers", "4")
		if err != nil {
			return least, err
		}
		if _, err := s.ran(ctx, inserted-backlog); err != nil {
			return least, err
		}
		ran, _ := s.workers[0].Ran()
		least = min(least, inserted-ran)
		if err := p.Go(); err != nil {
			return least, err
		}
		if _, _, err := p.Wait(ctx); err != nil {
			return least, err
		}
	}
	return least, nil
}

// mostMemory returns by how much Redis' memory has grown at most when ctx ends. A look
// that fails is left out.
func (s *stage) mostMemory(ctx context.Context, before float64) (most float64) {
	for pause(ctx, 20*time.Millisecond) == nil {
		if now, err := s.redisMemory(ctx); err == nil {
			most = max(most, now-before)
		}
	}
	return most
}

func (s *stage) redisMemory(ctx context.Context) (float64, error) {
	info, err := s.Redis.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("ask Redis for its memory: %w", err)
	}
	var n float64
	_, err = fmt.Sscan(info["Memory"]["used_memory"], &n)
	return n, err
}

// crowd has 50 queues, 49 of which get 200 jobs a second between them while one has
// a backlog. A handler takes ten milliseconds: with handlers that take none, the backlog
// is gone before anything is measured.
type crowd struct{ waiting int64 }

func (c crowd) measure(ctx context.Context, b *Bench, system string) (r Run, err error) {
	s, err := b.stage(ctx, system, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if c.waiting > 0 {
		if _, err := s.backlog(ctx, c.waiting, "-queue", "bench-0", "-first", "1000000000"); err != nil {
			return r, err
		}
	}
	if err := s.work(ctx, 1, 1, true, "-queues", "50", "-sleep", "10ms", "-concurrency", "100"); err != nil {
		return r, err
	}
	const rate, seconds = 200, 15
	r.Jobs = rate * (seconds + int64(warm.Seconds()))
	p, err := s.Start(ctx, "producers", "produce", true, "-per-tx", "1", "-jobs", num(r.Jobs), "-rate", num(rate), "-queues", "49", "-queue-first", "1")
	if err != nil {
		return r, err
	}
	if err := s.count(ctx); err != nil {
		return r, err
	}
	if err := p.Go(); err != nil {
		return r, err
	}
	if _, _, err := p.Wait(ctx); err != nil {
		return r, err
	}
	if err := pause(ctx, 3*time.Second); err != nil {
		return r, err
	}
	r.Seconds = time.Since(s.began).Seconds()
	if c.waiting > 0 {
		var left int64
		if err := s.Pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM outbox.ready WHERE queue_name = 'bench-0' LIMIT 100000) AS head`).Scan(&left); err != nil {
			return r, err
		}
		r.Extra = map[string]float64{"left_of_the_backlog_at_least": float64(left)}
	}
	if err := s.done(ctx, &r); err != nil {
		return r, err
	}
	all, err := s.latencies(p, nil)
	if err == nil && all["commit to start"].N < rate*(seconds-2) {
		err = fmt.Errorf("only %d of the jobs that were measured have run", all["commit to start"].N)
	}
	r.Latency = all
	return r, err
}

// timetable has many scheduled jobs, a thousand of which fall due each second.
type timetable struct {
	jobs    int64
	watched int // seconds
}

func (c timetable) measure(ctx context.Context, b *Bench, system string) (r Run, err error) {
	s, err := b.stage(ctx, system, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	now, err := s.backlog(ctx, c.jobs/10, "-queue", "elsewhere")
	if err != nil {
		return r, err
	}
	// Most lie far ahead; the rest, a thousand a second, falls due while we watch.
	const due = 1000
	far, err := s.backlog(ctx, c.jobs, "-delay-from", "2h", "-delay-to", "100h", "-first", "1000000000")
	if err != nil {
		return r, err
	}
	if err := s.work(ctx, 1, 1, true); err != nil {
		return r, err
	}
	r.Jobs = int64(due * c.watched)
	if _, err := s.backlog(ctx, r.Jobs, "-delay-from", "10s", "-delay-to", (time.Duration(c.watched)*time.Second + 10*time.Second).String()); err != nil {
		return r, err
	}
	if err := s.count(ctx); err != nil {
		return r, err
	}
	if _, err := s.ran(ctx, r.Jobs); err != nil {
		return r, err
	}
	r.Seconds = time.Since(s.began).Seconds()
	dueAt, err := s.due(ctx)
	if err != nil {
		return r, err
	}
	if err := s.done(ctx, &r); err != nil {
		return r, err
	}
	ran, err := s.workers[0].Executions()
	if err != nil {
		return r, err
	}
	var late []time.Duration
	early := 0.0
	for _, e := range ran {
		if at, ok := dueAt[e.Number]; ok {
			late = append(late, time.Duration(e.Started-at))
			if e.Started < at {
				early++
			}
		}
	}
	r.Latency = map[string]lab.Quantiles{"due to start": lab.QuantilesOf(late)}
	r.Extra = map[string]float64{"insert_ratio_of_due_now": (float64(c.jobs) / far) / (float64(c.jobs/10) / now), "early": early}
	return r, nil
}

// due reads when each job that has run was due.
func (s *stage) due(ctx context.Context) (map[int64]int64, error) {
	rows, err := s.Pool.Query(ctx, `SELECT (payload ->> 'n')::bigint, (payload ->> 'at')::bigint FROM outbox.jobs WHERE status <> 'queued' AND payload ? 'at'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64]int64{}
	for rows.Next() {
		var n, at int64
		if err := rows.Scan(&n, &at); err != nil {
			return nil, err
		}
		out[n] = at
	}
	return out, rows.Err()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
