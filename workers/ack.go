package workers

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// acks are leases to give up in Redis: of attempts that Postgres has judged.
type acks struct {
	mu   sync.Mutex
	refs map[*queue][]job.Ref
	due  chan struct{}
}

func newAcks() *acks {
	return &acks{refs: map[*queue][]job.Ref{}, due: make(chan struct{}, 1)}
}

func (k *acks) add(q *queue, ref job.Ref) {
	k.mu.Lock()
	k.refs[q] = append(k.refs[q], ref)
	k.mu.Unlock()
	signal(k.due)
}

// addAll adds what b ended, as far as it was leased in Redis.
func (k *acks) addAll(b batch) {
	k.mu.Lock()
	for i, a := range b.attempts {
		if b.outcomes[i].Kind != job.Started && a.row == nil {
			k.refs[a.queue] = append(k.refs[a.queue], b.outcomes[i].Ref)
		}
	}
	k.mu.Unlock()
	signal(k.due)
}

// take returns q's acks and leaves it spare to gather the next.
func (k *acks) take(q *queue, spare []job.Ref) []job.Ref {
	k.mu.Lock()
	defer k.mu.Unlock()
	refs := k.refs[q]
	k.refs[q] = spare
	return refs
}

// acknowledge gives up leases, beside the writer, so that a slow Redis holds up no
// outcome. It ends with ctx, or when written is closed and nothing is left.
func (w *Worker) acknowledge(ctx context.Context, written <-chan struct{}) {
	var spare []job.Ref
	for last := false; !last && ctx.Err() == nil; {
		select {
		case <-w.acks.due:
		case <-written:
			last = true
		case <-ctx.Done():
			return
		}
		for _, q := range w.queues {
			spare = w.ackQueue(ctx, q, spare)
		}
	}
}

// ackQueue sends what has gathered for q and returns its array for later use.
func (w *Worker) ackQueue(ctx context.Context, q *queue, spare []job.Ref) []job.Ref {
	refs := w.acks.take(q, spare[:0])
	for part := range slices.Chunk(refs, job.MaxBatch) {
		if err := w.ack(ctx, q, part); err != nil {
			w.metrics.ackDropped.Add(float64(len(part)))
			w.log.WarnContext(ctx, "acks are left to the leases", keyQueue, q.name, keyCount, len(part), keyError, err)
		}
	}
	return refs
}

// ack tries three times. Acking twice is harmless; not acking costs the reaper a
// look at an attempt that is over. After STALE there is no lease worth the trouble.
func (w *Worker) ack(ctx context.Context, q *queue, part []job.Ref) error {
	again := retry{first: 50 * time.Millisecond, most: time.Second}
	for {
		epoch, _ := q.leased()
		err := w.ackCall(ctx, q, epoch, part)
		if err == nil || w.stale(ctx, q, epoch, err) {
			return err
		}
		q.unanswered(time.Now())
		w.metrics.errors.WithLabelValues("ack").Inc()
		if again.failures+1 >= ackTries || !pause(ctx, again.next()) {
			return err
		}
	}
}

func (w *Worker) ackCall(ctx context.Context, q *queue, epoch int64, part []job.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	err := w.leases.Ack(ctx, q.name, epoch, part)
	if err == nil {
		w.redisAnswered()
		q.accepted(epoch)
	}
	return err
}
