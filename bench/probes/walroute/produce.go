package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// produce inserts the nth producer's share of w's jobs.
func (s *server) produce(ctx context.Context, w workload, n int) error {
	c, err := s.producers.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	random := rand.New(rand.NewPCG(uint64(n), uint64(w.payload)))
	var text bytes.Buffer
	began := time.Now()
	for done := n * w.perTx; done < w.jobs; done += w.producers * w.perTx {
		if w.rate > 0 {
			pause(ctx, time.Until(began.Add(time.Duration(done/w.perTx)*time.Second/time.Duration(w.rate))))
		}
		s.statements.Add(1)
		if w.perTx == 1 {
			if _, err := c.Exec(ctx, `INSERT INTO outbox.jobs (queue_name, kind, payload) VALUES ($1, $2, $3)`, queueName, "probe", payload(random, done, w.payload)); err != nil {
				return fmt.Errorf("insert: %w", err)
			}
			continue
		}
		text.Reset()
		for i := range min(w.perTx, w.jobs-done) {
			fmt.Fprintf(&text, "%s\tprobe\t%s\n", queueName, payload(random, done+i, w.payload))
		}
		if _, err := c.Conn().PgConn().CopyFrom(ctx, &text, `COPY outbox.jobs (queue_name, kind, payload) FROM STDIN`); err != nil {
			return fmt.Errorf("copy: %w", err)
		}
	}
	return nil
}

// payload returns some JSON of about size bytes, different for every n.
func payload(random *rand.Rand, n, size int) string {
	out := fmt.Appendf(nil, `{"n":%d,"pad":"`, n)
	for len(out) < size-2 {
		out = fmt.Appendf(out, "%016x", random.Uint64())
	}
	return string(append(out[:size-2], `"}`...))
}
