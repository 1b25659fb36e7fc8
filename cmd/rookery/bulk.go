package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

// filterFlags are those of a filter of jobs, as jobs list has them.
type filterFlags struct {
	l                         job.Listing
	kind, after, before, died string
}

func (f *filterFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVarP(&f.l.QueueName, "queue", "q", "", "only this queue")
	flags.StringVarP(&f.kind, "kind", "k", "", "only this kind; email.* means all that begin with email., --kind= the empty one")
	flags.StringVar(&f.l.Status, "status", "", strings.Join(job.Filters(), ", "))
	flags.StringVar(&f.after, "created-after", "", "only jobs inserted after this time, such as 2026-11-23T15:04:05Z")
	flags.StringVar(&f.before, "created-before", "", "only jobs inserted before this time")
	flags.StringVar(&f.died, "died-after", "", "only jobs that died after this time; with --status dead")
}

// listing returns what the flags say.
func (f *filterFlags) listing(c *cobra.Command) (l job.Listing, err error) {
	l = f.l
	if c.Flags().Changed("kind") {
		l.Kind = &f.kind
	}
	if l.CreatedAfter, err = momentOf("--created-after", f.after); err != nil {
		return l, err
	}
	if l.CreatedBefore, err = momentOf("--created-before", f.before); err != nil {
		return l, err
	}
	l.DiedAfter, err = momentOf("--died-after", f.died)
	return l, err
}

// bulk is jobs cancel, redrive or delete of what a filter finds.
type bulk struct {
	action           job.Action
	filter           filterFlags
	all, dryRun, yes bool
}

func (b *bulk) flags(c *cobra.Command) {
	b.filter.add(c)
	c.Flags().BoolVar(&b.all, "all", false, "jobs of all queues, kinds and times")
	c.Flags().BoolVar(&b.dryRun, "dry-run", false, "show what would be found, and change nothing")
	c.Flags().BoolVar(&b.yes, "yes", false, "yes, change all that is found")
}

// asked reports whether the command line asks for jobs by a filter.
func (b *bulk) asked(c *cobra.Command) bool {
	for _, name := range []string{"queue", "kind", "status", "created-after", "created-before", "died-after", "all", "dry-run", "yes"} {
		if c.Flags().Changed(name) {
			return true
		}
	}
	return false
}

func (b *bulk) run(c *cobra.Command, s *settings) error {
	l, err := b.filter.listing(c)
	if err != nil {
		return err
	}
	if err := job.CheckBulk(b.action, l); err != nil {
		return flagError(err)
	}
	switch {
	case !l.Narrow() && !b.all:
		return &usageError{errors.New("which jobs? Give ids, or a filter such as --queue, or --all")}
	case l.Narrow() && b.all:
		return &usageError{errors.New("--all goes with no other filter")}
	case !b.dryRun && !b.yes:
		return &usageError{errors.New("this changes all jobs that are found; look with --dry-run first, then say --yes")}
	case b.dryRun:
		return withJobs(c.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error { return b.preview(ctx, s, jobs, l) })
	}
	return operate(c.Context(), s, b.action, l)
}

func (b *bulk) preview(ctx context.Context, s *settings, jobs *rookery.Jobs, l job.Listing) error {
	p, err := jobs.Preview(ctx, b.action, l)
	if err != nil {
		return flagError(err)
	}
	if s.json {
		return printJSON(struct {
			Action   job.Action  `json:"action"`
			Filter   job.Listing `json:"filter"`
			Matched  int64       `json:"matched"`
			Capped   bool        `json:"capped"`
			Examples []job.Job   `json:"examples"`
		}{b.action, l, p.Matched, p.Capped, p.Examples})
	}
	number := fmt.Sprint(p.Matched)
	if p.Capped {
		number += fmt.Sprintf(" or more (looked at %d places; --status, --queue and --kind make it fewer)", job.BrowseCap)
	}
	fmt.Printf("%s would be done to: %s\n", b.action, number)
	if len(p.Examples) == 0 {
		return nil
	}
	return showJobs(s, p.Examples)
}

// operate does an action to all that l finds, in this process, and shows how far it is.
func operate(ctx context.Context, s *settings, action job.Action, l job.Listing) error {
	config, err := s.load()
	if err != nil {
		return err
	}
	return withService(ctx, config, func(ctx context.Context, svc *rookery.Service) error {
		jobs, err := svc.Jobs(ctx)
		if err != nil {
			return err
		}
		bar := newProgress(os.Stderr, string(action))
		o, err := jobs.Operate(ctx, action, l, bar.show)
		bar.clear()
		if err != nil {
			if o.ID == 0 {
				return flagError(err)
			}
			return fmt.Errorf("operation %d is not over: servers go on with it, unless you say rookery operations cancel %d: %w", o.ID, o.ID, err)
		}
		return showEnd(s, o)
	})
}

// showEnd says what an operation that is over has come to.
func showEnd(s *settings, o job.Operation) error {
	if s.json {
		if err := printJSON(o); err != nil {
			return err
		}
	} else {
		fmt.Printf("operation %d %s: %d jobs done, %d left because somebody changed them first\n", o.ID, o.Status, o.Done, o.Failed)
	}
	switch o.Status {
	case job.OperationRunning, job.OperationCompleted:
		return nil
	case job.OperationCancelled:
		return &stateError{fmt.Sprintf("operation %d was cancelled", o.ID)}
	case job.OperationFailed:
	}
	return fmt.Errorf("operation %d failed: %s", o.ID, o.Error)
}

func queuesPurge(s *settings) *cobra.Command {
	var confirm string
	c := &cobra.Command{
		Use:   "purge QUEUE --confirm QUEUE",
		Short: "Cancel all jobs of a queue that wait, in Postgres or in Redis",
		Long: `Cancel all jobs of a queue that wait, in Postgres or, handed out, in Redis. When it has
completed, no job waits that had been committed when it began and has not begun to run
since. What is known to run (a job is, after 250 ms) runs on; one that a worker has only
just taken is cancelled as if it waited. Jobs of transactions that began later are left
alone; those of transactions under way may be cancelled or not, as may jobs that ran and
wait again. Nothing is deleted: rookery jobs redrive --queue QUEUE --status cancelled takes
it back for as long as cancelled jobs are kept.`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := job.CheckQueueName(args[0]); err != nil {
				return &usageError{err}
			}
			if confirm != args[0] {
				return &usageError{errors.New("--confirm must be the name of the queue once more")}
			}
			return operate(cmd.Context(), s, job.ActionPurge, job.Listing{QueueName: args[0]})
		},
	}
	c.Flags().StringVar(&confirm, "confirm", "", "the name of the queue once more")
	return c
}
