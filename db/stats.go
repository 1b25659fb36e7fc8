package db

import (
	"context"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// PutStats writes the figures of one writer, each row whole: the same again, after a
// lost answer, changes nothing.
func (s *Store) PutStats(ctx context.Context, writer int64, rows []job.Stat) error {
	p := query.PutStatsParams{Writer: writer}
	for i := range rows {
		r := &rows[i]
		p.Minutes, p.QueueNames = append(p.Minutes, r.Minute), append(p.QueueNames, r.QueueName)
		p.Dispatched, p.Lost = append(p.Dispatched, r.Dispatched), append(p.Lost, r.Lost)
		p.Completed, p.Failed = append(p.Completed, r.Completed), append(p.Failed, r.Failed)
		p.Dead, p.Cancelled = append(p.Dead, r.Dead), append(p.Cancelled, r.Cancelled)
		p.Snoozed = append(p.Snoozed, r.Snoozed)
		p.RunUs, p.WaitUs = append(p.RunUs, r.Ran.Microseconds()), append(p.WaitUs, r.Waited.Microseconds())
		p.RunBuckets, p.WaitBuckets = append(p.RunBuckets, histogramText(r.RunTimes)), append(p.WaitBuckets, histogramText(r.WaitTimes))
	}
	return s.do(ctx, "put stats", func(q *query.Queries) error { return q.PutStats(ctx, p) })
}

// histogramText is a Histogram as an array of Postgres, without the zeros at its end:
// most minutes use a few buckets, and there are many rows.
func histogramText(s job.Histogram) string {
	n := len(s)
	for n > 0 && s[n-1] == 0 {
		n--
	}
	b := []byte{'{'}
	for i, in := range s[:n] {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, in, 10)
	}
	return string(append(b, '}'))
}

// Stats returns what was done, in steps from r.From on; steps in which nothing was
// are left out. A [*job.FieldError] says what is wrong with r.
func (s *Store) Stats(ctx context.Context, r job.StatRange) ([]job.StatPoint, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	out := []job.StatPoint{}
	err := s.seeing(ctx, "stats", func(q *query.Queries) error {
		rows, err := q.SumStats(ctx, query.SumStatsParams{StepMs: r.Step.Milliseconds(), FromAt: r.From, ToAt: r.To, QueueName: r.QueueName})
		for _, row := range rows {
			out = append(out, job.StatPoint{
				At: row.At, Dispatched: row.Dispatched, Completed: row.Completed, Failed: row.Failed, Dead: row.Dead,
				Cancelled: row.Cancelled, Snoozed: row.Snoozed, Lost: row.Lost,
				Run: timesOf(row.RunUs, row.RunBuckets), Wait: timesOf(row.WaitUs, row.WaitBuckets),
			})
		}
		return err
	})
	return out, err
}

func timesOf(us int64, in []int64) job.Times {
	var s job.Histogram
	copy(s[:], in)
	return job.Times{
		Count: s.Count(), Seconds: float64(us) / 1e6,
		P50: s.Quantile(0.5).Seconds(), P95: s.Quantile(0.95).Seconds(),
	}
}

// SampleDepths notes what waits in every queue, once a minute: sampled is false when
// that has been done, by this relay or another, and when there is no queue.
func (s *Store) SampleDepths(ctx context.Context) (depths []job.Depth, sampled bool, err error) {
	err = s.seeing(ctx, "sample depths", func(q *query.Queries) error {
		rows, err := q.SampleDepths(ctx, job.StatsCap)
		for _, r := range rows {
			depths = append(depths, job.Depth{
				At: r.Minute, QueueName: r.QueueName, Paused: r.Paused, Ready: r.Ready, Scheduled: r.Scheduled, Out: r.Out,
				Workers: r.Workers, Oldest: time.Duration(r.OldestMs) * time.Millisecond,
			})
		}
		if err != nil || len(rows) == 0 {
			return err
		}
		rates, err := ratesOf(ctx, q)
		for i := range depths {
			depths[i].Rate = rates[depths[i].QueueName]
		}
		return err
	})
	return depths, len(depths) > 0, err
}

// Rates returns how fast each queue goes; one in which nothing ended within
// [job.RateSpan] has no row.
func (s *Store) Rates(ctx context.Context) (rates map[string]job.Rate, err error) {
	err = s.seeing(ctx, "rates", func(q *query.Queries) error {
		rates, err = ratesOf(ctx, q)
		return err
	})
	return rates, err
}

func ratesOf(ctx context.Context, q *query.Queries) (map[string]job.Rate, error) {
	rows, err := q.ListRates(ctx, job.RateSpan.Milliseconds())
	rates := make(map[string]job.Rate, len(rows))
	for _, r := range rows {
		rates[r.QueueName] = job.Rate{Ended: r.Ended, Span: time.Duration(r.SpanS) * time.Second, Ran: time.Duration(r.RunUs) * time.Microsecond}
	}
	return rates, err
}

// maxDepths is how many rows [Store.Depths] returns at most: of every point of a
// chart, some queues.
const maxDepths = 20 * job.StatPoints

// Depths returns what waited in the queue of r, or in each when it names none: of
// every step the last minute that was noted, by queue and time, the first 30,000.
func (s *Store) Depths(ctx context.Context, r job.StatRange) ([]job.Depth, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	out := []job.Depth{}
	err := s.seeing(ctx, "depths", func(q *query.Queries) error {
		rows, err := q.ListDepths(ctx, query.ListDepthsParams{StepMs: r.Step.Milliseconds(), FromAt: r.From, ToAt: r.To, QueueName: r.QueueName, MaxRows: maxDepths})
		for _, row := range rows {
			out = append(out, job.Depth{
				At: row.At, QueueName: row.QueueName, Paused: row.Paused, Ready: row.Ready, Scheduled: row.Scheduled, Out: row.Out,
				Workers: row.Workers, Oldest: time.Duration(row.OldestMs) * time.Millisecond,
			})
		}
		return err
	})
	return out, err
}

// PruneStats deletes figures older than [job.StatKept] and their rollups, as far as one step goes, and
// events that nobody may ask for any more.
func (s *Store) PruneStats(ctx context.Context) error {
	return s.do(ctx, "prune stats", func(q *query.Queries) error {
		if _, err := q.PruneStats(ctx); err != nil {
			return err
		}
		if _, err := q.PruneDepths(ctx); err != nil {
			return err
		}
		if _, err := q.PruneRollups(ctx); err != nil {
			return err
		}
		if _, err := q.PruneRollupsDue(ctx); err != nil {
			return err
		}
		return pruneEvents(ctx, q)
	})
}
