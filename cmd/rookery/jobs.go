package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func enqueueCommand(s *settings) *cobra.Command {
	var (
		spec     job.Spec
		priority int
		payload  string
		headers  string
		runAt    string
	)
	c := &cobra.Command{
		Use:     "enqueue [--queue NAME] [--kind KIND] [--payload JSON]",
		Short:   "Insert one job and print its id",
		Example: `  rookery enqueue --queue email:processing --kind welcome --payload '{"to": "a@b.c"}'`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if payload == "-" {
				data, err := io.ReadAll(io.LimitReader(os.Stdin, job.MaxPayload+1))
				if err != nil {
					return fmt.Errorf("read payload: %w", err)
				}
				payload = string(data)
			}
			spec.Payload, spec.Headers, spec.Priority = json.RawMessage(payload), json.RawMessage(headers), &priority
			if runAt != "" {
				var err error
				if spec.RunAt, err = time.Parse(time.RFC3339, runAt); err != nil {
					return &usageError{errors.New("--run-at must look like 2026-11-23T15:04:05Z")}
				}
			}
			if _, err := spec.Filled(); err != nil {
				return &usageError{err}
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				ids, err := jobs.Insert(ctx, []job.Spec{spec})
				if err == nil {
					fmt.Println(ids[0])
				}
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&spec.QueueName, "queue", "q", job.DefaultQueue, "where the job waits")
	f.StringVarP(&spec.Kind, "kind", "k", "", "which handler runs it")
	f.StringVarP(&payload, "payload", "p", "{}", "any JSON; - reads standard input")
	f.StringVar(&headers, "headers", "", "a JSON object")
	f.IntVar(&priority, "priority", job.DefaultPriority, "0 to 1000; lower is more urgent")
	f.StringVar(&runAt, "run-at", "", "not before this time (default: now)")
	f.IntVar(&spec.MaxAttempts, "max-attempts", job.DefaultMaxAttempts, "1 to 1000")
	_ = c.RegisterFlagCompletionFunc("queue", queueNames(s)) // the flag is there
	return c
}

func jobsCommand(s *settings) *cobra.Command {
	jobs := group(&cobra.Command{Use: "jobs", Short: "Look at jobs, cancel them, send them again"})
	jobs.AddCommand(jobsGet(s), jobsList(s),
		jobsChange(s, "cancel", "Call jobs off; running handlers are told within 5 s", "cancelled", "was over already", rookery.Acting.Cancel),
		jobsChange(s, "redrive", "Send dead, cancelled or completed jobs again", "queued again", "is on its way already", rookery.Acting.Redrive),
		jobsChange(s, "delete", "Forget jobs that are over, with their attempts", "deleted", "is on its way; cancel it first", rookery.Acting.Delete),
		jobsClone(s), jobsWatch(s), jobsExport(s))
	return jobs
}

// shown is a job as jobs get prints it.
type shown struct {
	job.Job
	Live     *job.Live     `json:"live"`
	Attempts []job.Attempt `json:"attempts"`
}

func jobsGet(s *settings) *cobra.Command {
	var payload bool
	c := &cobra.Command{
		Use: "get ID", Short: "Show one job, its attempts and where it is now", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				var out shown
				if out.Job, err = jobs.Job(ctx, id); err != nil {
					return err
				}
				if !payload {
					out.Payload = nil
				}
				if out.Attempts, err = jobs.Attempts(ctx, id); err != nil {
					return err
				}
				if live, err := jobs.Live(ctx, out.Job); err == nil {
					out.Live = &live
				}
				return printJSON(out)
			})
		},
	}
	c.Flags().BoolVar(&payload, "payload", false, "show the payload too")
	return c
}

func jobsChange(s *settings, use, short, done, not string, change func(rookery.Acting, context.Context, int64) (bool, error)) *cobra.Command {
	many := bulk{action: job.Action(use)}
	c := &cobra.Command{
		Use: use + " ID … | --queue NAME …", Short: short,
		Long: short + `.

With ids these jobs; with a filter all that it finds, by an operation of many small
transactions, which servers go on with when this process ends.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch byFilter := many.asked(cmd); {
			case byFilter && len(args) > 0:
				return &usageError{errors.New("give either ids or a filter")}
			case byFilter:
				return many.run(cmd, s)
			case len(args) == 0:
				return someArgs(cmd, args)
			}
			ids := make([]int64, len(args))
			for i, text := range args {
				var err error
				if ids[i], err = parseID(text); err != nil {
					return err
				}
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				var errs []error
				acting := jobs.As(rookery.AtTheCommandLine())
				for _, id := range ids {
					yes, err := change(acting, ctx, id)
					switch {
					case err != nil:
						errs = append(errs, fmt.Errorf("job %d: %w", id, err))
					case yes:
						fmt.Println(id, done)
					default:
						errs = append(errs, &stateError{fmt.Sprintf("job %d %s", id, not)})
					}
				}
				return errors.Join(errs...)
			})
		},
	}
	many.flags(c)
	return c
}

// stateError is a [job.ErrState] that says which job and why.
type stateError struct{ text string }

func (e *stateError) Error() string { return e.text }

// Is reports whether target is [job.ErrState].
func (e *stateError) Is(target error) bool { return target == job.ErrState }

func jobsClone(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "clone ID", Short: "Insert the same job once more, due now, and print its id", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				clone, err := jobs.As(rookery.AtTheCommandLine()).Clone(ctx, id)
				if err == nil {
					fmt.Println(clone)
				}
				return err
			})
		},
	}
}

func parseID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, &usageError{fmt.Errorf("%q is not a job id", text)}
	}
	return id, nil
}

// printable shortens text to one line of a table, and keeps a terminal from being
// told anything by it.
func printable(text string) string {
	out := []rune{}
	for _, c := range text {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			c = ' '
		}
		if out = append(out, c); len(out) == 60 {
			return string(out) + "…"
		}
	}
	return string(out)
}
