package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/job"
)

// produce inserts half of the rate, by COPY.
func (s *stage) produce(ctx context.Context) error {
	c, err := pgx.Connect(ctx, s.url("producer"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	return every(ctx, time.Duration(float64(2*s.o.batch)/s.o.rate*float64(time.Second)), func() error {
		return s.insert(ctx, c, s.o.batch)
	})
}

func (s *stage) insert(ctx context.Context, c *pgx.Conn, n int) error {
	var rows strings.Builder
	for i := range n {
		fmt.Fprintf(&rows, "%s\tmail\t{\"n\": %d, \"to\": \"somebody@example.org\", \"pad\": \"%060d\"}\n", queue, i, i*7919)
	}
	return s.seen.time("copy", func() error {
		_, err := c.PgConn().CopyFrom(ctx, strings.NewReader(rows.String()), "COPY outbox.jobs (queue_name, kind, payload) FROM STDIN")
		if err == nil {
			s.count.inserted.Add(int64(n))
		}
		return err
	})
}

// claim takes what is due, as a relay does, at a pace that makes batches about as
// large as those of a COPY.
func (s *stage) claim(ctx context.Context) error {
	var pushed []job.Recorded
	return every(ctx, time.Duration(float64(s.o.batch)/s.o.rate*float64(time.Second)), func() error {
		for {
			b, err := s.take(ctx, job.MaxBatch, pushed)
			if err != nil || len(b.Jobs) == 0 {
				return err
			}
			pushed = []job.Recorded{{DispatchID: b.DispatchID, Seq: s.count.inserted.Load()}}
			select {
			case s.out <- b:
			case <-ctx.Done():
				return nil
			}
			if len(b.Jobs) < job.MaxBatch {
				return nil
			}
		}
	})
}

func (s *stage) take(ctx context.Context, limit int, pushed []job.Recorded) (b job.Batch, err error) {
	err = s.seen.time("claim", func() error {
		b, err = s.stores["relay"].Claim(ctx, job.Claim{
			QueueName: queue, Epoch: s.epoch, RelayID: "probe", DispatchID: job.NewDispatchID(), Limit: limit, Pushed: pushed,
			Spans: []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: job.MaxPriority}},
		})
		return err
	})
	return b, err
}

// complete reports success for every batch.
func (s *stage) complete(ctx context.Context) error {
	for {
		select {
		case b := <-s.out:
			if err := s.report(ctx, b); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *stage) report(ctx context.Context, b job.Batch) error {
	outcomes := make([]job.Outcome, len(b.Jobs))
	for i, e := range b.Jobs {
		outcomes[i] = job.Outcome{Ref: job.Ref{ID: e.ID, DispatchID: b.DispatchID}, Kind: job.Succeeded, Ran: 5 * time.Millisecond}
	}
	return s.seen.time("complete", func() error {
		verdicts, err := s.stores["worker"].Reconcile(ctx, "host-4711-abcdefg", outcomes)
		s.count.completed.Add(int64(len(verdicts)))
		return err
	})
}

// sweep empties the ledger. In life it is the relay's; here it has a role of its own,
// because it alone names jobs of many partitions by one array.
func (s *stage) sweep(ctx context.Context) error {
	return every(ctx, time.Second, func() error {
		var at job.Cursor
		for {
			var page job.Sweep
			err := s.seen.time("sweep", func() (err error) {
				page, err = s.stores["sweeper"].Sweep(ctx, at)
				return err
			})
			if err != nil || page.Seen < 50 {
				return err
			}
			at = page.Next
		}
	})
}

// every calls do at a pace, and catches up when one call was late. What do returns is
// an incident: it is noted, and the pace goes on.
func every(ctx context.Context, pace time.Duration, do func() error) error {
	next := time.Now()
	for ctx.Err() == nil {
		if err := do(); err != nil && ctx.Err() == nil {
			fmt.Println("incident", time.Now().Format(time.TimeOnly), err)
		}
		next = next.Add(pace)
		wait := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			wait.Stop()
		case <-wait.C:
		}
	}
	return nil
}
