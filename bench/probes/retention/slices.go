package main

import (
	"context"
	"math"
	"time"

	"github.com/penguinmails/rookery/job"
)

// retention is how this variant is rid of jobs.
func (s *stage) retention() func(context.Context) error {
	if s.parts != nil {
		return s.parts.run
	}
	return s.slices
}

// slices walks the front as relay/retention.go does, with the same slack and rests.
func (s *stage) slices(ctx context.Context) error {
	const first, widest = 10 * job.MaxPrune, 1 << 22
	var at, span int64
	return every(ctx, time.Second, func() error {
		for {
			span = max(span, first)
			began := time.Now()
			var d job.Pruned
			err := s.seen.time("slice", func() (err error) {
				d, err = s.stores["retention"].Prune(ctx, job.Prune{
					AfterID: at, UpToID: min(at+span, math.MaxInt64), Keep: s.o.keep, KeepDead: s.o.keep, Young: s.o.keep + s.o.keep/10,
				})
				return err
			})
			if err != nil {
				return err
			}
			took := time.Since(began)
			at = d.NextID
			s.count.removed.Add(d.Deleted)
			switch {
			case d.Seen == job.MaxPrune || took > 100*time.Millisecond:
				span = first
			case took < 20*time.Millisecond:
				span = min(2*span, widest)
			}
			if d.Ended || !d.Got {
				return nil
			}
			rest := time.NewTimer(took)
			select {
			case <-ctx.Done():
				rest.Stop()
				return nil
			case <-rest.C:
			}
		}
	})
}
