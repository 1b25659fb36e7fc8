// Command worker runs jobs as their payloads tell it and writes down what it does:
// the handlers of the end-to-end tests. Every line of the history file is one
// write, so that several processes may append to it and be killed while they do.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// order is what a payload tells the handler.
type order struct {
	Do   string `json:"do"`   // "" ends at once; sleep, deaf, wait, die, panic, fail
	MS   int    `json:"ms"`   // of sleep, and of deaf, which does not listen to its context
	File string `json:"file"` // wait ends well when it is there
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	history, err := os.OpenFile(os.Getenv("E2E_HISTORY"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = history.Close() }() // nothing is buffered
	config, err := rookery.LoadConfig("", os.Getenv)
	if err != nil {
		return err
	}
	svc, err := rookery.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = svc.Close() }() // the process ends
	slots, err := strconv.Atoi(os.Getenv("E2E_SLOTS"))
	if err != nil {
		return fmt.Errorf("E2E_SLOTS: %w", err)
	}
	registry := workers.NewRegistry()
	o := workers.Options{Concurrency: slots}
	for name := range strings.SplitSeq(os.Getenv("E2E_QUEUES"), ",") {
		o.Queues = append(o.Queues, workers.QueueWeight{Name: name})
		registry.HandleQueue(name, workers.Typed(handler(history)), workers.HandlerOptions{})
	}
	w, err := svc.Worker(registry, o)
	if err != nil {
		return err
	}
	if addr := os.Getenv("E2E_HTTP"); addr != "" {
		window, err := svc.Window(ctx, addr, w)
		if err != nil {
			return err
		}
		if err := window.Listen(); err != nil {
			return err
		}
		// It outlives the worker, so that a test can read its last figures.
		shown, cancel := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error)
		go func() { ended <- window.Run(shown) }()
		err = w.Run(ctx)
		cancel()
		return errors.Join(err, <-ended)
	}
	return w.Run(ctx)
}

func handler(history *os.File) func(context.Context, *workers.Job, order) error {
	note := func(word string, j *workers.Job, how string) error {
		// A process that is killed while it writes across a page of the file leaves half a
		// line: the next one begins on a line of its own.
		line := fmt.Sprintf("\n%s %d %d %d %d %d %s\n", word, j.ID, j.AttemptCount, j.DispatchID, os.Getpid(), time.Now().UnixMicro(), how)
		_, err := history.WriteString(line)
		return err
	}
	return func(ctx context.Context, j *workers.Job, o order) error {
		if err := note("start", j, "-"); err != nil {
			return err
		}
		err := obey(ctx, o)
		return errors.Join(err, note("end", j, how(ctx, err)))
	}
}

func obey(ctx context.Context, o order) error {
	d := time.Duration(o.MS) * time.Millisecond
	switch o.Do {
	case "sleep":
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case "deaf":
		<-time.After(d)
	case "wait":
		return await(ctx, o.File)
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // a process may always kill itself
		select {}
	case "panic":
		panic("told to panic")
	case "fail":
		return errors.New("told to fail")
	}
	return nil
}

// await returns when file is there.
func await(ctx context.Context, file string) error {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// how is one word for how an attempt ended.
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
	case errors.Is(cause, job.ErrTimeout):
		return "timeout"
	}
	return "failed"
}
