package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func workersCommand(s *settings) *cobra.Command {
	workers := group(&cobra.Command{Use: "workers", Short: "Look at relays and workers"})
	var role string
	list := &cobra.Command{
		Use: "list [--role relay|worker]", Short: "List the processes that have said within the hour that they live", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				found, err := jobs.Processes(ctx, role)
				if err != nil {
					return flagError(err)
				}
				return show(s, found, "ID\tROLE\tHOST\tPID\tSTARTED\tLAST BEAT\tLAST REDIS", func(p job.ProcessState) []any {
					redis := "never"
					if p.RedisAt != nil {
						redis = p.RedisAt.Format(time.RFC3339)
					}
					return []any{printable(p.ID), p.Role, printable(p.Host), p.PID, p.StartedAt.Format(time.RFC3339), p.BeatAge.Round(time.Second).String() + " ago", redis}
				})
			})
		},
	}
	list.Flags().StringVar(&role, "role", "", "relay or worker; both unless given")
	workers.AddCommand(list)
	return workers
}
