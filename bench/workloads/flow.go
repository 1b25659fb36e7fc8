package workloads

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
)

// flow is what most workloads are: some jobs, inserted before or meanwhile, run by
// some workers.
type flow struct {
	jobs     int64
	together bool     // insert while they drain
	produce  []string // flags
	work     []string
	workers  int
	relays   int
	settings map[string]string
	env      []string
	setup    string // SQL before anything else
}

// drain measures from the first job that has run to the moment when all are recorded
// as completed, or, when they are inserted meanwhile, from the first insert.
func (f flow) measure(ctx context.Context, b *Bench, system string) (r Run, err error) {
	s, err := b.stage(ctx, system, f.settings, f.env...)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Pool.Exec(ctx, f.setup); err != nil {
		return r, err
	}
	workers, relays := max(f.workers, 1), max(f.relays, 1)
	r.Jobs = f.jobs
	if !f.together {
		if _, err := s.backlog(ctx, f.jobs, f.produce...); err != nil {
			return r, err
		}
		if _, err := s.Pool.Exec(ctx, `VACUUM ANALYZE`); err != nil {
			return r, err
		}
		if err := s.count(ctx); err != nil {
			return r, err
		}
		if err := s.work(ctx, workers, relays, false, f.work...); err != nil {
			return r, err
		}
		first, err := s.ran(ctx, 1)
		if err != nil {
			return r, err
		}
		s.began = first
	} else {
		if system != "plain" { // nobody works on a plain table
			if err := s.work(ctx, workers, relays, false, f.work...); err != nil {
				return r, err
			}
		}
		p, err := s.Start(ctx, "producers", "produce", false, append([]string{"-jobs", num(f.jobs)}, f.produce...)...)
		if err != nil {
			return r, err
		}
		if err := s.count(ctx); err != nil {
			return r, err
		}
		if err := p.Go(); err != nil {
			return r, err
		}
		_, seconds, err := p.Wait(ctx)
		if err != nil {
			return r, err
		}
		r.Extra = map[string]float64{"inserted_per_second": float64(f.jobs) / seconds}
		if system == "plain" {
			r.CPU, r.Seconds = lab.Minus(s.CPU(), s.cpu), seconds
			return r, s.done(ctx, &r)
		}
	}
	if _, err := s.ran(ctx, f.jobs); err != nil {
		return r, err
	}
	end, err := s.recorded(ctx)
	if err != nil {
		return r, err
	}
	r.CPU = lab.Minus(s.CPU(), s.cpu)
	r.Seconds = end.Sub(s.began).Seconds()
	return r, s.done(ctx, &r)
}

// latency measures how long jobs wait that come at random moments.
type latency struct {
	rate     float64
	seconds  float64
	env      []string
	workers  []string
	produce  []string
	setup    string // SQL before the first job
	settings map[string]string
	foreign  int // megabytes a second that another database writes
}

const warm = 3 * time.Second

func (l latency) measure(ctx context.Context, b *Bench, system string) (r Run, err error) {
	settings := map[string]string{"track_commit_timestamp": "on"}
	for k, v := range l.settings {
		settings[k] = v
	}
	s, err := b.stage(ctx, system, settings, l.env...)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Pool.Exec(ctx, l.setup); err != nil {
		return r, err
	}
	if l.foreign > 0 {
		stop, err := s.writeElsewhere(ctx, l.foreign)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err := s.work(ctx, 1, 1, true, l.workers...); err != nil {
		return r, err
	}
	r.Jobs = int64(l.rate * (l.seconds + warm.Seconds()))
	p, err := s.Start(ctx, "producers", "produce", true, append([]string{"-per-tx", "1", "-jobs", num(r.Jobs), "-rate", num(int(l.rate))}, l.produce...)...)
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
	if _, err := s.ran(ctx, r.Jobs); err != nil {
		return r, err
	}
	end, err := s.recorded(ctx)
	if err != nil {
		return r, err
	}
	r.Seconds = end.Sub(s.began).Seconds()
	completed, err := s.completed(ctx)
	if err != nil {
		return r, err
	}
	if err := s.done(ctx, &r); err != nil {
		return r, err
	}
	r.Latency, err = s.latencies(p, completed)
	return r, err
}

// latencies joins the records of producer and workers.
func (s *stage) latencies(p *lab.Actor, completed map[int64]int64) (map[string]lab.Quantiles, error) {
	in, err := p.Insertions()
	if err != nil {
		return nil, err
	}
	var first int64
	for _, i := range in {
		if first == 0 || i.Intended < first {
			first = i.Intended
		}
	}
	var inserted, started, over []time.Duration
	for _, w := range s.workers {
		ran, err := w.Executions()
		if err != nil {
			return nil, err
		}
		for _, e := range ran {
			i, ok := in[e.Number]
			if !ok || i.Intended < first+int64(warm) {
				continue
			}
			inserted = append(inserted, time.Duration(e.Started-i.Intended))
			started = append(started, time.Duration(e.Started-i.Committed))
			if at, ok := completed[e.Number]; ok {
				over = append(over, time.Duration(at-i.Committed))
			}
		}
	}
	out := map[string]lab.Quantiles{"insert to start": lab.QuantilesOf(inserted), "commit to start": lab.QuantilesOf(started)}
	if len(over) > 0 {
		out["commit to completed"] = lab.QuantilesOf(over)
	}
	return out, nil
}

// completed says when the transaction committed that recorded each job as completed:
// Postgres' own commit timestamp of the row's last version, for the systems that
// keep the row.
func (s *stage) completed(ctx context.Context) (map[int64]int64, error) {
	var query string
	switch s.system {
	case "rookery", "rookery-sql":
		query = `SELECT (payload ->> 'n')::bigint, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM outbox.jobs WHERE status = 'completed' AND payload ? 'n'`
	case "river", "river-bench":
		query = `SELECT (args ->> 'n')::bigint, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM river_job WHERE state = 'completed' AND args ? 'n'`
	default:
		return nil, nil
	}
	rows, err := s.Pool.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64]int64{}
	for rows.Next() {
		var n, us int64
		if err := rows.Scan(&n, &us); err != nil {
			return nil, err
		}
		out[n] = 1000 * us
	}
	return out, rows.Err()
}
