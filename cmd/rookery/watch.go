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

// watchPause is how often a job, or a queue, is looked at.
const watchPause = time.Second

// errDied: a job that was watched died; what it says has been printed.
var errDied = errors.New("not all jobs completed")

func jobsWatch(s *settings) *cobra.Command {
	var (
		queue string
		limit time.Duration
	)
	c := &cobra.Command{
		Use:   "watch ID … | --queue NAME",
		Short: "Follow jobs until they are over, or a queue until nothing in it is due",
		Long: `Follow jobs until all of them are over, or a queue until nothing in it is due and
nothing is out. A line is printed whenever a job's status, or a figure of the queue,
has changed; with -o jsonl it is JSON.

It exits with 0 when all completed, 1 when one died, 4 when one was cancelled, 6 when
--timeout passed or Postgres does not answer. Of a queue, the jobs count that died or were
cancelled meanwhile.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (queue == "") == (len(args) == 0) || limit < 0 {
				return &usageError{fmt.Errorf("usage: %s", cmd.UseLine())}
			}
			ids := make([]int64, len(args))
			for i, text := range args {
				var err error
				if ids[i], err = parseID(text); err != nil {
					return err
				}
			}
			if queue != "" {
				if err := job.CheckQueueName(queue); err != nil {
					return flagError(err)
				}
			}
			return withJobsFor(cmd.Context(), s, limit, func(ctx context.Context, jobs *rookery.Jobs) error {
				if queue != "" {
					return watchQueue(ctx, s, jobs, queue)
				}
				return watchJobs(ctx, s, jobs, ids)
			})
		},
	}
	c.Flags().StringVarP(&queue, "queue", "q", "", "this queue instead of jobs")
	c.Flags().DurationVar(&limit, "timeout", 0, "give up after so long; 0: never")
	_ = c.RegisterFlagCompletionFunc("queue", queueNames(s)) // the flag is there
	return c
}

// withJobsFor is withJobs for a command that may take as long as it likes, or limit.
func withJobsFor(ctx context.Context, s *settings, limit time.Duration, do func(context.Context, *rookery.Jobs) error) error {
	config, err := s.load()
	if err != nil {
		return err
	}
	return withService(ctx, config, func(ctx context.Context, svc *rookery.Service) error {
		jobs, err := svc.Jobs(ctx)
		if err != nil {
			return err
		}
		if limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		err = do(ctx, jobs)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%w: not over after %s", job.ErrUnavailable, limit)
		}
		return err
	})
}

// outcome adds up what became of jobs.
type outcome struct{ died, cancelled bool }

func (o *outcome) add(is job.Status) {
	o.died = o.died || is == job.Dead
	o.cancelled = o.cancelled || is == job.Cancelled
}

func (o outcome) err() error {
	switch {
	case o.died:
		return errDied
	case o.cancelled:
		return &stateError{"not all jobs completed: some were cancelled"}
	}
	return nil
}

// pause waits for the next look; false: the command is over.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func watchJobs(ctx context.Context, s *settings, jobs *rookery.Jobs, ids []int64) error {
	var became outcome
	known := map[int64]string{}
	for left := ids; ; {
		var next []int64
		for _, id := range left {
			j, err := jobs.Job(ctx, id)
			if err != nil {
				return fmt.Errorf("job %d: %w", id, err)
			}
			j.Payload = nil
			if is := fmt.Sprint(j.Status, j.AttemptCount, j.FailureCount, j.LostCount); is != known[id] {
				known[id] = is
				if err := sayJob(s, j); err != nil {
					return err
				}
			}
			if over(j.Status) {
				became.add(j.Status)
			} else {
				next = append(next, id)
			}
		}
		if left = next; len(left) == 0 {
			return became.err()
		}
		if !pause(ctx, watchPause) {
			return ctx.Err()
		}
	}
}

func over(is job.Status) bool {
	return is == job.Completed || is == job.Dead || is == job.Cancelled
}

func sayJob(s *settings, j job.Job) error {
	if s.json {
		return printLine(j)
	}
	line := fmt.Sprintf("%s  job %d  %s  attempt %d", time.Now().Format(time.TimeOnly), j.ID, j.Status, j.AttemptCount)
	if j.Status == job.Queued && j.RunAt.After(time.Now()) {
		line += "  not before " + j.RunAt.Format(time.RFC3339)
	}
	if j.LastError != "" && j.Status != job.Completed {
		line += "  " + printable(j.LastError)
	}
	_, err := fmt.Fprintln(os.Stdout, line)
	return err
}

// queueLine is what watching a queue prints.
type queueLine struct {
	QueueName string  `json:"queue_name"`
	Backlog   int64   `json:"backlog"`
	Out       int64   `json:"out"`
	Scheduled int64   `json:"scheduled"`
	Rate      float64 `json:"throughput"`
	Work      float64 `json:"seconds_of_work"`
}

// watchQueue follows what becomes of a queue's jobs by events, and its figures. The
// queue is done when nothing was due and out at two looks: what a relay has in its hands
// is in neither figure for a moment.
func watchQueue(ctx context.Context, s *settings, jobs *rookery.Jobs, queue string) error {
	var (
		became outcome
		at     job.EventCursor
		last   queueLine
		opened time.Time
	)
	for idle := 0; ; {
		if time.Since(opened) > time.Minute {
			if err := jobs.OpenEvents(ctx, false); err != nil {
				return err
			}
			opened = time.Now()
		}
		q, err := jobs.Queue(ctx, queue)
		if errors.Is(err, job.ErrNotFound) {
			return notFoundError("no queue is called " + queue)
		} else if err != nil {
			return err
		}
		for more := true; more; { // after the figures: what they do not count any more is told
			page, err := jobs.Events(ctx, at, false)
			if err != nil {
				return err
			}
			for _, e := range page.Events {
				if e.QueueName == queue {
					became.add(e.Status)
				}
			}
			at, more = page.Next, page.More
		}
		now := queueLine{queue, q.Backlog(), q.Out, q.Scheduled, q.Rate.PerSecond(), workOf(q)}
		if now != last {
			if err := sayQueue(s, now); err != nil {
				return err
			}
		}
		if last = now; now.Backlog == 0 && q.Ready == 0 {
			idle++
		} else {
			idle = 0
		}
		if idle == 2 {
			return became.err()
		}
		if !pause(ctx, watchPause) {
			return ctx.Err()
		}
	}
}

func sayQueue(s *settings, l queueLine) error {
	if s.json {
		return printLine(l)
	}
	_, err := fmt.Printf("%s  %s  %d due  %d later  %.1f/s  work %s\n", time.Now().Format(time.TimeOnly), l.QueueName, l.Backlog, l.Scheduled, l.Rate, seconds(l.Work))
	return err
}

// queueNames completes the names of queues, if Postgres answers soon.
func queueNames(s *settings) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		var names []string
		err := withJobs(ctx, s, func(ctx context.Context, jobs *rookery.Jobs) error {
			queues, err := jobs.Queues(ctx)
			for _, q := range queues {
				names = append(names, q.Name)
			}
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
