package main

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	waves   = 6               // mailings of each producer
	cadence = 4 * time.Second // from the start of one to that of the next
	doom    = 0.1             // share of transactions that are rolled back
	crowd   = 150             // most recipients of one transaction
)

// batch is one transaction to come.
type batch struct {
	size   int
	doomed bool // ends with ROLLBACK; its recipients come on top of the plan's
}

// planWave returns transactions that commit n recipients between them, and about
// one in ten that commits none.
func planWave(n int) []batch {
	var plan []batch
	for n > 0 {
		b := batch{size: 1 + rand.IntN(crowd), doomed: rand.Float64() < doom}
		if !b.doomed {
			b.size = min(b.size, n)
			n -= b.size
		}
		plan = append(plan, b)
	}
	return plan
}

// share returns part i of n split into parts that differ by at most one.
func share(n, parts, i int) int { return n*(i+1)/parts - n*i/parts }

// everyWave calls mail for each wave when its time has come, reckoned from now.
// A wave that is late begins at once.
func everyWave(ctx context.Context, recipients int, mail func(ctx context.Context, wave int, plan []batch) error) error {
	start := time.Now()
	for wave := range waves {
		if err := pause(ctx, time.Until(start.Add(time.Duration(wave)*cadence))); err != nil {
			return err
		}
		if err := mail(ctx, wave, planWave(share(recipients, waves, wave))); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d or until ctx ends, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
