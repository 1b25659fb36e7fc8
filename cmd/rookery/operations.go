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

func operationsCommand(s *settings) *cobra.Command {
	operations := group(&cobra.Command{Use: "operations", Short: "Look at what is being done to many jobs at once, and end it"})
	var limit int
	list := &cobra.Command{
		Use: "list", Short: "List operations, the newest first", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return &usageError{errors.New("--limit must be 1 to 1000")}
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				found, err := jobs.Operations(ctx, limit)
				if err != nil {
					return err
				}
				return showOperations(s, found)
			})
		},
	}
	list.Flags().IntVar(&limit, "limit", 50, "1 to 1000")
	get := &cobra.Command{
		Use: "get ID", Short: "Show one operation", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return ofOperation(cmd, s, args[0], func(ctx context.Context, jobs *rookery.Jobs, id int64) error {
				o, err := jobs.Operation(ctx, id)
				switch {
				case err != nil:
					return err
				case s.json && s.output != asLines:
					return printJSON(o)
				}
				return showOperations(s, []job.Operation{o})
			})
		},
	}
	cancel := &cobra.Command{
		Use: "cancel ID", Short: "End an operation before its time; what it has done stays done", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return ofOperation(cmd, s, args[0], func(ctx context.Context, jobs *rookery.Jobs, id int64) error {
				done, err := jobs.CancelOperation(ctx, id)
				if err != nil {
					return err
				}
				if !done {
					return &stateError{fmt.Sprintf("operation %d was over already", id)}
				}
				fmt.Println(id, "cancelled")
				return nil
			})
		},
	}
	operations.AddCommand(list, get, cancel)
	return operations
}

// ofOperation does something to the operation that text names.
func ofOperation(cmd *cobra.Command, s *settings, text string, do func(context.Context, *rookery.Jobs, int64) error) error {
	id, err := parseID(text)
	if err != nil {
		return &usageError{fmt.Errorf("%q is not the id of an operation", text)}
	}
	return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
		err := do(ctx, jobs, id)
		if errors.Is(err, job.ErrNotFound) {
			return notFoundError(fmt.Sprintf("no operation has id %d", id))
		}
		return err
	})
}

func showOperations(s *settings, found []job.Operation) error {
	return show(s, found, "ID\tACTION\tQUEUE\tSTATUS\tMATCHED\tDONE\tLEFT\tSTARTED\tBY\tERROR", func(o job.Operation) []any {
		return []any{o.ID, o.Action, o.Filter.QueueName, o.Status, o.Matched, o.Done, o.Failed, o.StartedAt.Format(time.RFC3339), printable(o.Principal), printable(o.Error)}
	})
}
