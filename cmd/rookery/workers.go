package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func workersCommand(s *settings) *cobra.Command {
	workers := group(&cobra.Command{Use: "workers", Short: "Look at relays and workers, keep workers from taking jobs"})
	var role string
	list := &cobra.Command{
		Use: "list [--role relay|worker|client]", Short: "List the processes that have said within the hour that they live", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				found, err := jobs.Processes(ctx, role)
				if err != nil {
					return flagError(err)
				}
				return show(s, found, "ID\tROLE\tHOST\tPID\tSTARTED\tLAST BEAT\tLAST REDIS\tQUIET", func(p job.ProcessState) []any {
					redis := "never"
					if p.RedisAt != nil {
						redis = p.RedisAt.Format(time.RFC3339)
					}
					return []any{printable(p.ID), p.Role, printable(p.Host), p.PID, p.StartedAt.Format(time.RFC3339), p.BeatAge.Round(time.Second).String() + " ago", redis, p.Quiet}
				})
			})
		},
	}
	list.Flags().StringVar(&role, "role", "", "relay, worker or client (a worker over HTTP); all unless given")
	workers.AddCommand(list, workersQuiet(s))
	return workers
}

func workersQuiet(s *settings) *cobra.Command {
	var undo bool
	c := &cobra.Command{
		Use: "quiet ID [--undo]", Short: "Have a worker take no new jobs and finish those it has", Args: oneArg,
		Long: `Have a worker take no new jobs and finish those it has; it knows with its next beat,
within 5 s. SIGTSTP to the process does the same at once. With --undo it takes jobs again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				err := jobs.SetQuiet(ctx, args[0], !undo)
				if errors.Is(err, job.ErrNotFound) {
					return notFoundError("no worker is called " + args[0])
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&undo, "undo", false, "take jobs again")
	return c
}
