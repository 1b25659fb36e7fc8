package signup

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// What a mail server may answer.
var (
	ErrBusy      = errors.New("451 try later")
	ErrNoMailbox = errors.New("550 no such mailbox")
)

// Mailer runs the jobs. Send may be called twice with one id, after a crash, and mails
// once: the id is what it remembers.
type Mailer struct {
	Send func(ctx context.Context, id int64, to string) error
}

// Welcome mails one user.
func (m Mailer) Welcome(ctx context.Context, j *workers.Job, w Welcome) error {
	err := m.Send(ctx, j.ID, w.To)
	switch {
	case errors.Is(err, ErrBusy):
		return job.RetryIn(5*time.Minute, err) // a failure, and when to try again
	case errors.Is(err, ErrNoMailbox):
		return job.Discard(err) // dead at once
	}
	return err // nil completes, an error is a failure: again with backoff, then dead
}

// Work runs jobs until ctx ends, and then for up to 25 s those that have begun.
func Work(ctx context.Context, c rookery.Config, m Mailer) error {
	svc, err := rookery.Open(ctx, c)
	if err != nil {
		return err
	}
	registry := workers.NewRegistry()
	registry.Handle("welcome", workers.Typed(m.Welcome), workers.HandlerOptions{Timeout: time.Minute})
	w, err := svc.Worker(registry, workers.Options{Queues: []workers.QueueWeight{{Name: "mail"}}, Concurrency: 20})
	if err == nil {
		err = w.Run(ctx)
	}
	return errors.Join(err, svc.Close())
}
