// Command worker runs jobs as their payloads tell it and writes down each call of a
// handler, its return, and each outcome that Postgres refused. It is a Rookery
// worker as users write them; nothing in it is for testing but what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/workers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	rookery.Quiet()
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if text := os.Getenv("CHAOS_MEMORY"); text != "" { // bytes of address space
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("CHAOS_MEMORY: %w", err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("limit memory: %w", err)
		}
	}
	log, err := history.Open(os.Getenv("CHAOS_HISTORY"), os.Getenv("CHAOS_NAME"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // nothing is buffered
	config, err := rookery.LoadConfig("", os.Getenv)
	if err != nil {
		return err
	}
	config.Logger = slog.New(&ear{Handler: slog.NewJSONHandler(os.Stderr, nil), log: log})
	svc, err := rookery.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = svc.Close() }() // the process ends
	o := workers.Options{}
	if o.Concurrency, err = strconv.Atoi(os.Getenv("CHAOS_SLOTS")); err != nil {
		return fmt.Errorf("CHAOS_SLOTS: %w", err)
	}
	timeout, err := time.ParseDuration(or(os.Getenv("CHAOS_TIMEOUT"), "0"))
	if err != nil {
		return fmt.Errorf("CHAOS_TIMEOUT: %w", err)
	}
	registry := workers.NewRegistry()
	for name := range strings.SplitSeq(os.Getenv("CHAOS_QUEUES"), ",") {
		o.Queues = append(o.Queues, workers.QueueWeight{Name: name, Weight: 1})
		registry.HandleQueue(name, workers.Typed(handler(log)), workers.HandlerOptions{Timeout: timeout})
	}
	w, err := svc.Worker(registry, o)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func handler(log *history.Log) func(context.Context, *workers.Job, order) error {
	return func(ctx context.Context, j *workers.Job, o order) (err error) {
		act := history.Act{Word: history.Started, Key: o.Key, ID: j.ID, Attempt: j.AttemptCount, Dispatch: j.DispatchID}
		if err := log.Note(act); err != nil {
			return err
		}
		act.Word, act.How = history.Finished, "failed" // a panic is a failure
		defer func() { err = errors.Join(err, log.Note(act)) }()
		err = obey(ctx, j, o, func(how string) {
			early := act
			early.How = how
			_ = log.Note(early) // the next note fails too
		})
		act.How = how(ctx, err)
		return err
	}
}

// how is one word for how a handler ended.
func how(ctx context.Context, err error) string {
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		return "ok"
	case errors.Is(cause, job.ErrLeaseLost):
		return "lease_lost"
	case errors.Is(cause, job.ErrCancelled):
		return "cancelled"
	case errors.Is(cause, job.ErrShutdown):
		return "shutdown"
	}
	return "failed" // at its timeout, too
}

// ear hears the worker say that Postgres refused an outcome, a Debug line that
// nobody would otherwise see, and notes it.
type ear struct {
	slog.Handler
	log *history.Log
}

// Enabled lets Debug through, to Handle.
func (e *ear) Enabled(context.Context, slog.Level) bool { return true }

// Handle passes on everything from Info.
func (e *ear) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "outcome refused, the attempt is over") {
		act := history.Act{Word: history.Refused}
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "job_id":
				act.ID = a.Value.Int64()
			case "dispatch_id":
				act.Dispatch = a.Value.Int64()
			case "outcome":
				act.How = a.Value.String()
			}
			return true
		})
		return e.log.Note(act)
	}
	if !e.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return e.Handler.Handle(ctx, r)
}
