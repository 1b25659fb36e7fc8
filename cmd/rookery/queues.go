package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func queuesCommand(s *settings) *cobra.Command {
	queues := &cobra.Command{
		Use: "queues", Short: "Show all queues, pause them, set their window", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				stats, err := jobs.Queues(ctx)
				if err != nil {
					return err
				}
				return showQueues(s, stats)
			})
		},
	}
	queues.AddCommand(queueAction(s, "get", "Show one queue", func(ctx context.Context, jobs *rookery.Jobs, name string) error {
		q, err := jobs.Queue(ctx, name)
		switch {
		case errors.Is(err, job.ErrNotFound):
			return notFoundError("no queue is called " + name)
		case err != nil:
			return err
		case s.json && s.output != asLines:
			return printJSON(q)
		}
		return showQueues(s, []job.QueueStats{q})
	}))
	for _, word := range []struct {
		use, short string
		paused     bool
	}{{"pause", "Stop claiming and taking a queue's jobs", true}, {"resume", "Let a paused queue go on", false}} {
		queues.AddCommand(queueAction(s, word.use, word.short, func(ctx context.Context, jobs *rookery.Jobs, name string) error {
			askAboutNewQueue(ctx, jobs, name)
			return jobs.As(rookery.AtTheCommandLine()).Pause(ctx, name, word.paused)
		}))
	}
	var size int
	window := &cobra.Command{
		Use: "window QUEUE --size N", Short: "Set how many undelivered jobs of a queue may sit in Redis", Args: oneArg, ValidArgsFunction: queueNames(s),
		RunE: func(cmd *cobra.Command, args []string) error {
			if size < 1 || size > job.MaxWindow {
				return &usageError{fmt.Errorf("--size is needed: 1 to %d", job.MaxWindow)}
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				askAboutNewQueue(ctx, jobs, args[0])
				return jobs.As(rookery.AtTheCommandLine()).SetWindow(ctx, args[0], size)
			})
		},
	}
	window.Flags().IntVar(&size, "size", 0, "1 to 1000000; a queue begins with 10000")
	queues.AddCommand(window, queuesPurge(s), queuesRetention(s))
	return queues
}

// queueAction is a command about the one queue that it is given.
func queueAction(s *settings, use, short string, do func(context.Context, *rookery.Jobs, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " QUEUE", Short: short, Args: oneArg, ValidArgsFunction: queueNames(s),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := job.CheckQueueName(args[0]); err != nil {
				return &usageError{err}
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error { return do(ctx, jobs, args[0]) })
		},
	}
}

// askAboutNewQueue says so when nobody has heard of a queue that is about to be changed.
// That is allowed, before its first job, and is a misspelt name more often.
func askAboutNewQueue(ctx context.Context, jobs *rookery.Jobs, name string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := jobs.Queue(ctx, name); errors.Is(err, job.ErrNotFound) {
		fmt.Fprintf(os.Stderr, "rookery: no job of a queue called %s has been seen so far; is the name right?\n", name)
	}
}

func showQueues(s *settings, stats []job.QueueStats) error {
	return show(s, stats, "QUEUE\tREADY\tSCHEDULED\tOUT\tIN REDIS\tLEASED\tWINDOW\tPAUSED", func(q job.QueueStats) []any {
		waiting, leased := "?", "?"
		if q.Window != nil {
			waiting, leased = fmt.Sprint(q.Window.Depth()), fmt.Sprint(q.Window.Leased)
		}
		return []any{q.Name, q.Ready, q.Scheduled, q.Out, waiting, leased, q.WindowSize, q.Paused}
	})
}

// notFoundError is a [job.ErrNotFound] that says what was looked for.
type notFoundError string

func (e notFoundError) Error() string { return string(e) }

// Is reports whether target is [job.ErrNotFound].
func (e notFoundError) Is(target error) bool { return target == job.ErrNotFound }
