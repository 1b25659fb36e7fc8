package workers

import (
	"context"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// doubt asks Postgres, every beat, which of the attempts that others may have adopted are
// current, if this worker hands its attempts on: of what the other holder does with one
// Redis may say nothing here.
//
//	the other is cut off from Redis and holds it in Postgres: the lease here is worth nothing
//	the other has ended it, and died before it gave the lease up: nobody else will
//
// In both cases this worker would renew the old lease for as long as its client comes here.
// One that is not current twice is over. Not at once: it may have been called off, and who
// says so comes with a beat in Redis.
func (w *Worker) doubt(ctx context.Context) {
	if w.o.Demand == nil {
		return
	}
	for pause(ctx, w.o.Beat) {
		for _, q := range w.queues {
			if err := w.verifyShared(ctx, q); err != nil && ctx.Err() == nil {
				w.metrics.errors.WithLabelValues("verify").Inc()
				w.log.WarnContext(ctx, "cannot verify what others may hold", keyQueue, q.name, keyError, err)
			}
		}
	}
}

func (w *Worker) verifyShared(ctx context.Context, q *queue) error {
	for part := range slices.Chunk(w.held.of(q), job.MaxBatch) {
		asked := refs(part)
		current, err := w.verifyCall(ctx, asked)
		if err != nil {
			return err
		}
		w.postgresAnswered()
		ok, now := set(current), time.Now()
		for i, a := range part {
			doubted := a.doubted
			a.doubted = !ok[asked[i]]
			if doubted && a.doubted && w.loseLeased(a, now) {
				w.acks.add(q, asked[i])
			}
		}
	}
	return nil
}
