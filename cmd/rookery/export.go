package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

// printLine prints v as one line of JSON.
func printLine(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// bookmark is a file that says how far an export has come. It is written once the
// lines before it are out, so an export that is killed anywhere and started again
// prints some lines twice, and misses none.
type bookmark struct{ path string }

// read returns what was kept, or "" when there is no file yet.
func (b bookmark) read() (string, error) {
	if b.path == "" {
		return "", nil
	}
	text, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// keep replaces the file as a whole.
func (b bookmark) keep(text string) error {
	if b.path == "" {
		return nil
	}
	_ = os.Stdout.Sync() // to a file: before the bookmark; a pipe or a terminal cannot
	f, err := os.CreateTemp(filepath.Dir(b.path), ".bookmark-")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), b.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func eventsCommand(s *settings) *cobra.Command {
	events := group(&cobra.Command{Use: "events", Short: "What became of jobs"})
	var (
		queue, kind, path, since string
		follow                   bool
		byKind                   bool
	)
	c := &cobra.Command{
		Use:   "export --cursor-file FILE [--since TIME] [--follow]",
		Short: "Print what became of jobs since the last export, a line of JSON for each attempt",
		Long: `Print what became of jobs since the last export with the same file, a line of JSON for
each attempt that ended or went on for 250 ms, and each job that was cancelled or
redriven; no payloads. The first export begins with the present: what is over by then,
"jobs export" prints. With --since it begins with what is kept of that time. Nothing
was noted while nobody listened or exported: standard error says from when on none is
missing, and jobs that are deleted have no events any more.

Events are kept for 7 days after the last export. When some are missing, as after a
longer pause, it says so on standard error and goes on with the present. Killed anywhere
and started again it misses none, and prints some twice.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return &usageError{errors.New("--cursor-file is needed: where to go on the next time")}
			}
			if queue != "" {
				if err := job.CheckQueueName(queue); err != nil {
					return flagError(err)
				}
			}
			begin, err := sinceOf(since, time.Now())
			if err != nil {
				return flagError(err)
			}
			byKind = cmd.Flags().Changed("kind")
			return withJobsFor(cmd.Context(), s, 0, func(ctx context.Context, jobs *rookery.Jobs) error {
				return exportEvents(ctx, jobs, bookmark{path}, begin, follow, func(e job.StatusEvent) bool {
					return (queue == "" || e.QueueName == queue) && (!byKind || e.Kind == kind)
				})
			})
		},
	}
	c.Flags().StringVar(&path, "cursor-file", "", "where to go on; made by the first export")
	c.Flags().StringVar(&since, "since", "", "begin so long ago (36h), or then (2026-12-01T09:00:00Z), with what is kept; nothing when the file is there")
	c.Flags().BoolVar(&follow, "follow", false, "go on until interrupted")
	c.Flags().StringVarP(&queue, "queue", "q", "", "only this queue")
	c.Flags().StringVarP(&kind, "kind", "k", "", "only this kind; --kind= means the empty one")
	_ = c.RegisterFlagCompletionFunc("queue", queueNames(s)) // the flag is there
	events.AddCommand(c)
	return events
}

// sinceOf reads a time, or how long ago it was; "" is the zero time.
func sinceOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 && d <= 10*365*24*time.Hour {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil && job.CheckRunAt(t) == nil {
		return t, nil
	}
	return time.Time{}, &job.FieldError{Field: "since", Problem: fmt.Sprintf("is %.40q, must be a duration such as 36h, at most 10 years, or an RFC 3339 time such as 2026-12-01T09:00:00Z", text)}
}

func exportEvents(ctx context.Context, jobs *rookery.Jobs, b bookmark, since time.Time, follow bool, takes func(job.StatusEvent) bool) error {
	text, err := b.read()
	if err != nil {
		return fmt.Errorf("read cursor: %w", err)
	}
	var at job.EventCursor
	if text != "" {
		if at, err = job.ParseEventCursor(text); err != nil {
			return &usageError{fmt.Errorf("%s has no cursor of an export; begin anew without the file", b.path)}
		}
	}
	var opened time.Time
	for {
		if time.Since(opened) > time.Hour {
			if err := jobs.OpenEvents(ctx, true); err != nil {
				return err
			}
			opened = time.Now()
		}
		if at.Since == "" && !since.IsZero() {
			start, err := jobs.EventsSince(ctx, since)
			if err != nil {
				return err
			}
			at = start.At
			fmt.Fprintf(os.Stderr, "rookery: none is missing from %s on; before that some may not have been noted, or not be kept\n",
				start.CompleteFrom.Format(time.RFC3339))
		}
		page, err := jobs.Events(ctx, at, true)
		if err != nil {
			return interrupted(ctx, err)
		}
		if page.Gap {
			why := "some events are missing"
			switch {
			case at.Since == "":
				why = "the export begins"
			case !at.Settled:
				why = "the export has begun: from here on nothing is missed"
			}
			fmt.Fprintf(os.Stderr, "rookery: %s at %s\n", why, page.Next.At.UTC().Format(time.RFC3339))
		}
		for _, e := range page.Events {
			if takes(e) {
				if err := printLine(e); err != nil {
					return err
				}
			}
		}
		at = page.Next
		if err := b.keep(at.String()); err != nil {
			return fmt.Errorf("keep cursor: %w", err)
		}
		switch {
		case page.More:
		case !follow && at.Settled:
			return nil
		default:
			if !pause(ctx, watchPause) {
				return interrupted(ctx, ctx.Err())
			}
		}
	}
}

// interrupted is nil when the user ended a command that goes on until then.
func interrupted(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

func jobsExport(s *settings) *cobra.Command {
	var (
		l        job.Listing
		kind     string
		path     string
		payloads bool
	)
	c := &cobra.Command{
		Use:   "export [--queue NAME] [--kind KIND] [--status STATUS]",
		Short: "Print all jobs that match, a line of JSON for each, the newest first",
		Long: `Print all jobs that match, a line of JSON for each: the newest first unless their
status says otherwise. With --cursor-file it goes on where it was killed; some jobs may
be printed twice, and those that are inserted or change their list meanwhile may be
missing: what becomes of jobs later, "events export" prints.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.Limit = job.MaxListing; cmd.Flags().Changed("kind") {
				l.Kind = &kind
			}
			if err := l.Check(); err != nil {
				return flagError(err)
			}
			return withJobsFor(cmd.Context(), s, 0, func(ctx context.Context, jobs *rookery.Jobs) error {
				return exportJobs(ctx, jobs, l, bookmark{path}, payloads)
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&l.QueueName, "queue", "q", "", "only this queue")
	f.StringVarP(&kind, "kind", "k", "", "only this kind; --kind= means the empty one")
	f.StringVar(&l.Status, "status", "", strings.Join(job.Filters(), ", "))
	f.StringVar(&path, "cursor-file", "", "where to go on when it is killed; use it with the same flags")
	f.BoolVar(&payloads, "payloads", false, "with payloads and headers")
	_ = c.RegisterFlagCompletionFunc("queue", queueNames(s)) // the flag is there
	return c
}

// exported marks a bookmark of an export that came to its end.
const exported = "done"

func exportJobs(ctx context.Context, jobs *rookery.Jobs, l job.Listing, b bookmark, payloads bool) error {
	text, err := b.read()
	if err != nil {
		return fmt.Errorf("read cursor: %w", err)
	}
	if text == exported {
		fmt.Fprintf(os.Stderr, "rookery: this export has come to its end; begin anew without %s\n", b.path)
		return nil
	}
	if l.From, err = readCursor(text); err != nil {
		return &usageError{fmt.Errorf("%s has no cursor of an export; begin anew without the file", b.path)}
	}
	for {
		page, err := jobs.List(ctx, l)
		if err != nil {
			return err
		}
		for _, j := range page.Jobs {
			if payloads {
				switch full, err := jobs.Job(ctx, j.ID); {
				case errors.Is(err, job.ErrNotFound):
					continue // deleted meanwhile
				case err != nil:
					return err
				default:
					j = full
				}
			}
			if err := printLine(j); err != nil {
				return err
			}
		}
		if page.Next == nil {
			return b.keep(exported)
		}
		if err := b.keep(cursorOf(page.Next)); err != nil {
			return fmt.Errorf("keep cursor: %w", err)
		}
		l.From = page.Next
	}
}
