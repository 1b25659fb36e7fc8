package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func queuesRetention(s *settings) *cobra.Command {
	var finished, dead string
	c := &cobra.Command{
		Use:   "retention QUEUE [--finished DURATION] [--dead DURATION]",
		Short: "Set how long a queue's jobs that are over are kept",
		Long: `Set how long a queue's jobs that are over are kept: a duration such as 72h, from 1m to 10
years, 0 for ever, or relay for what the relays say (ROOKERY_RETENTION,
ROOKERY_RETENTION_DEAD).`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := job.CheckQueueName(args[0]); err != nil {
				return &usageError{err}
			}
			c := job.KeepForChange{SetRetention: cmd.Flags().Changed("finished"), SetRetentionDead: cmd.Flags().Changed("dead")}
			if !c.SetRetention && !c.SetRetentionDead {
				return &usageError{errors.New("--finished or --dead is needed")}
			}
			var err error
			if c.Retention, err = keepFor("--finished", finished); err != nil {
				return err
			}
			if c.RetentionDead, err = keepFor("--dead", dead); err != nil {
				return err
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				return jobs.As(rookery.AtTheCommandLine()).SetQueue(ctx, args[0], job.QueueChange{Keep: c})
			})
		},
	}
	c.Flags().StringVar(&finished, "finished", "", "of completed and cancelled jobs")
	c.Flags().StringVar(&dead, "dead", "", "of dead ones")
	return c
}

// keepFor reads a retention: nil is the relays'.
func keepFor(flag, text string) (*int64, error) {
	if text == "" || text == "relay" {
		return nil, nil
	}
	d, err := time.ParseDuration(text)
	seconds := int64(d / time.Second)
	if err != nil || d != 0 && (seconds < job.MinKeepFor || seconds > job.MaxKeepFor) {
		return nil, &usageError{fmt.Errorf("%s is %q, must be a duration from 1m to 87600h, 0 for ever, or relay", flag, text)}
	}
	return &seconds, nil
}
