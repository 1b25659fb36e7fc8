package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/job"
)

// still runs lives of a few jobs one after another, as sparse traffic does, and prints
// what each statement cost its backend, in µs of CPU a call. Nothing is removed and no
// partition comes or goes meanwhile.
func (s *stage) still(ctx context.Context) error {
	c, err := pgx.Connect(ctx, s.url("producer"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	var pushed []job.Recorded
	for _, size := range []int{0, 1, 10, 100, 500} { // 0: one, to warm up, while backends of before are ending
		warm := size == 0
		size = max(size, 1)
		rounds := max(s.o.rounds/max(size/10, 1), 20)
		before := s.reading(ctx)
		began := time.Now()
		for n := range rounds {
			if err := s.insert(ctx, c, size); err != nil {
				return err
			}
			b, err := s.take(ctx, size, pushed)
			if err != nil {
				return err
			}
			if err := s.report(ctx, b); err != nil {
				return err
			}
			pushed = []job.Recorded{{DispatchID: b.DispatchID, Seq: int64(n + 1)}}
		}
		if warm {
			continue
		}
		since := s.reading(ctx).minus(before)
		us := func(role string) float64 { return float64(since.cpu[role].Nanoseconds()) / 1000 / float64(rounds) }
		fmt.Printf("still jobs=%d rounds=%d tables=%d us a call: copy=%.1f claim=%.1f complete=%.1f sum=%.1f; wal=%.0f elapsed_us=%d\n",
			size, rounds, since.tables, us("producer"), us("relay"), us("worker"), us("producer")+us("relay")+us("worker"),
			since.wal/float64(rounds), time.Since(began).Microseconds()/int64(rounds))
	}
	return nil
}
