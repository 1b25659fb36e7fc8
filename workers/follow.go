package workers

import (
	"context"
	"os"
	"time"

	"github.com/penguinmails/rookery/job"
)

// follow tells Postgres every beat that the process lives, and learns the epochs;
// sooner when an epoch was joined, so that relays need not wait for this worker,
// and while a queue waits for its next epoch.
func (w *Worker) follow(ctx context.Context) {
	for w.awaitTell(ctx) {
		w.tell(ctx)
		signal(w.joining)
	}
}

// awaitTell waits until the next beat to Postgres is due.
func (w *Worker) awaitTell(ctx context.Context) bool {
	due := time.Now().Add(w.patience())
	for {
		t := time.NewTimer(time.Until(due))
		select {
		case <-t.C:
			return ctx.Err() == nil
		case <-w.telling:
			t.Stop()
			return ctx.Err() == nil
		case <-w.asking:
			t.Stop()
			if sooner := time.Now().Add(w.patience()); sooner.Before(due) {
				due = sooner
			}
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// patience returns a beat, or less when a queue waits for its epoch, or everything
// for the first beat.
func (w *Worker) patience() time.Duration {
	d := w.o.Beat
	if w.postgresAt.Load() == 0 {
		d = min(d, time.Second)
	}
	for _, q := range w.queues {
		if wait, ok := q.patience(); ok {
			d = min(d, wait)
		}
	}
	return d
}

// tell makes one beat in Postgres. Without an answer the epochs stay as they are:
// what is held stays leased in Redis.
func (w *Worker) tell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.o.Beat)
	defer cancel()
	p := w.process()
	p.RedisOK = w.redisOK.Swap(false)
	p.Quiet = w.quiet.told.Load()
	answer, err := w.store.Beat(ctx, p)
	if err != nil {
		if p.RedisOK {
			w.redisOK.Store(true)
		}
		w.metrics.errors.WithLabelValues("process").Inc()
		w.log.WarnContext(ctx, "cannot beat in postgres", keyError, err)
		return
	}
	w.postgresAnswered()
	w.obey(p.Quiet, answer.Quiet)
	for _, q := range w.queues {
		if epoch, ok := answer.Epochs[q.name]; ok && q.learn(epoch) {
			w.log.DebugContext(ctx, "epoch in postgres", keyQueue, q.name, keyEpoch, epoch)
		}
	}
}

// runningShown is how many running attempts the registry shows.
const runningShown = 100

// process says what the worker is, for Postgres and for Redis' registry.
func (w *Worker) process() job.Process {
	host, _ := os.Hostname() // for people; "" is fine
	c := w.held.counts()
	p := job.Process{
		ID: w.o.ID, Role: "worker", Host: host, PID: os.Getpid(), StartedAt: w.started, Life: w.life,
		Epochs: make(map[string]int64, len(w.queues)), Slots: w.o.Concurrency, Leaked: c.leaked,
	}
	for _, q := range w.queues {
		p.Queues = append(p.Queues, q.name)
		p.Epochs[q.name] = q.report()
	}
	for _, a := range w.held.handlers() {
		if len(p.Running) == runningShown {
			break
		}
		p.Running = append(p.Running, a.ref())
	}
	return p
}
