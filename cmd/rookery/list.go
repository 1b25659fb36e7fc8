package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func jobsList(s *settings) *cobra.Command {
	var (
		filter filterFlags
		limit  int
		cursor string
	)
	c := &cobra.Command{
		Use:   "list [--queue NAME] [--kind KIND] [--status STATUS]",
		Short: "List jobs, the newest first unless their status says otherwise", Args: noArgs,
		Long: `List jobs: ready ones as they are claimed, scheduled and retrying ones as they fall
due, dead ones the last to die first, all others the newest first. A list that goes
on ends with the --cursor for its next page, on standard error.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := filter.listing(cmd)
			if err != nil {
				return err
			}
			l.Limit = limit
			if l.From, err = readCursor(cursor); err != nil {
				return err
			}
			if err := l.Check(); err != nil {
				return flagError(err)
			}
			return withJobs(cmd.Context(), s, func(ctx context.Context, jobs *rookery.Jobs) error {
				page, err := jobs.List(ctx, l)
				if err != nil {
					return err
				}
				if err := showJobs(s, page.Jobs); err != nil {
					return err
				}
				if page.Next != nil {
					why := "there is more"
					if page.Capped {
						why = fmt.Sprintf("looked at %d places of the list", job.BrowseCap)
					}
					fmt.Fprintf(os.Stderr, "rookery: %s; go on with --cursor %s\n", why, cursorOf(page.Next))
				}
				return nil
			})
		},
	}
	f := c.Flags()
	filter.add(c)
	f.IntVar(&limit, "limit", 50, fmt.Sprintf("1 to %d", job.MaxListing))
	f.StringVar(&cursor, "cursor", "", "go on where a list with the same flags ended")
	_ = c.RegisterFlagCompletionFunc("queue", queueNames(s)) // the flag is there
	return c
}

func showJobs(s *settings, jobs []job.Job) error {
	return show(s, jobs, "ID\tQUEUE\tKIND\tSTATUS\tATTEMPTS\tPRIORITY\tRUN AT\tERROR", func(j job.Job) []any {
		return []any{j.ID, j.QueueName, printable(j.Kind), j.Status, j.AttemptCount, j.Priority, j.RunAt.Format(time.RFC3339), printable(j.LastError)}
	})
}

// A cursor of the command line is the place alone: whoever types it can see that the
// other flags are the same.
func cursorOf(p *job.Place) string {
	text, _ := json.Marshal(p) // numbers, strings and a time of Postgres: cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

func readCursor(s string) (*job.Place, error) {
	if s == "" {
		return nil, nil
	}
	var p job.Place
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(text, &p) != nil || p.ID < 1 {
		return nil, &usageError{errors.New("--cursor must be what an earlier list ended with")}
	}
	return &p, nil
}

func momentOf(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || job.CheckRunAt(t) != nil {
		return time.Time{}, &usageError{fmt.Errorf("%s must look like 2026-11-23T15:04:05Z", flag)}
	}
	return t, nil
}

// flagError says of a field that breaks a limit which flag it came from.
func flagError(err error) error {
	var field *job.FieldError
	if errors.As(err, &field) {
		return &usageError{fmt.Errorf("--%s %s", strings.ReplaceAll(strings.TrimSuffix(field.Field, "_name"), "_", "-"), field.Problem)}
	}
	return err
}
