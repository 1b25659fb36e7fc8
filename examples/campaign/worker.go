package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/workers"
)

// runWorker is the sub-mode worker: all that an application writes to run jobs.
func runWorker(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("campaign worker", flag.ContinueOnError)
	queue := flags.String("queue", "email:processing", "queue to take from")
	slots := flags.Int("slots", workerSlots, "mails sent at once")
	addr := flags.String("smtp", "127.0.0.1:25", "mail server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := rookery.LoadConfig("", os.Getenv)
	if err != nil {
		return err
	}
	svc, err := rookery.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, svc.Close()) }()
	post, err := newPostman(*addr, *slots)
	if err != nil {
		return err
	}
	defer post.close()

	registry := workers.NewRegistry()
	registry.Handle(letter{}.Kind(), workers.Typed(func(ctx context.Context, _ *workers.Job, l letter) error {
		return post.deliver(ctx, l)
	}), workers.HandlerOptions{Timeout: time.Minute})
	worker, err := svc.Worker(registry, workers.Options{
		Queues:      []workers.QueueWeight{{Name: *queue}},
		Concurrency: *slots,
		DrainTime:   stopPatience / 2,
	})
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}
