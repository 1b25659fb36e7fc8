package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

func migrateCommand(s *settings) *cobra.Command {
	migrate := group(&cobra.Command{Use: "migrate", Short: "Bring the schema up, down, or show where it stands"})
	var all, yes bool
	up := &cobra.Command{
		Use: "up", Short: "Apply what is missing", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			done, err := rookery.Migrate(cmd.Context(), config.DatabaseURL)
			for _, m := range done {
				fmt.Println("applied", m.Name)
			}
			if err == nil && len(done) == 0 {
				fmt.Println("nothing to apply")
			}
			return err
		},
	}
	down := &cobra.Command{
		Use: "down", Short: "Take back the newest migration, and what its tables hold", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return &usageError{fmt.Errorf("this deletes jobs; say --yes if you mean it")}
			}
			config, err := s.load()
			if err != nil {
				return err
			}
			done, err := rookery.MigrateDown(cmd.Context(), config.DatabaseURL, all)
			for _, m := range done {
				fmt.Println("took back", m.Name)
			}
			return err
		},
	}
	down.Flags().BoolVar(&all, "all", false, "take back all migrations")
	down.Flags().BoolVar(&yes, "yes", false, "yes, delete what the tables hold")
	status := &cobra.Command{
		Use: "status", Short: "Show which migrations are applied", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			known, err := rookery.MigrationStatus(cmd.Context(), config.DatabaseURL)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(known)
			}
			return table("VERSION\tNAME\tAPPLIED", func(line func(...any)) {
				for _, m := range known {
					at := "no"
					if m.Applied {
						at = m.AppliedAt.Format(time.RFC3339)
					}
					line(m.Version, m.Name, at)
				}
			})
		},
	}
	migrate.AddCommand(up, down, status)
	return migrate
}

func doctorCommand(s *settings) *cobra.Command {
	var (
		parts []string
		wake  string
	)
	doctor := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong; silent when all is well", Args: noArgs,
		Long: `Look for what is wrong, and say how to mend it: Postgres, the schema, rights, Redis, how
relays are woken, queues whose jobs wait for a person, processes that fell silent, jobs
that died within the last hour. It changes nothing.

It exits with 0 when there is nothing, or warnings only; with 1 when there is a problem.
docs/runbook.md goes on from there.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			if err := setWake(&config, wake); err != nil {
				return err
			}
			findings := rookery.Doctor(cmd.Context(), config, parts...)
			if s.json {
				if err := printJSON(append([]rookery.Finding{}, findings...)); err != nil {
					return err
				}
			}
			failed := false
			for _, f := range findings {
				word := "problem"
				if f.Warning {
					word = "warning"
				} else {
					failed = true
				}
				if !s.json {
					fmt.Print(harmless(fmt.Sprintf("%s: %s: %s\n  remedy: %s\n", word, f.Subject, f.Problem, f.Remedy)))
				}
			}
			if failed {
				return errFindings
			}
			return nil
		},
	}
	doctor.Flags().StringSliceVar(&parts, "for", nil, "what is to run as this user: relay, worker, push, api, serve (default: any of them)")
	wakeFlag(doctor, &wake)
	return doctor
}

func withJobs(ctx context.Context, s *settings, do func(context.Context, *rookery.Jobs) error) error {
	config, err := s.load()
	if err != nil {
		return err
	}
	ctx, cancel := asking(ctx)
	defer cancel()
	return withService(ctx, config, func(ctx context.Context, svc *rookery.Service) error {
		jobs, err := svc.Jobs(ctx)
		if err != nil {
			return err
		}
		return do(ctx, jobs)
	})
}

func oneArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return &usageError{fmt.Errorf("usage: %s", cmd.UseLine())}
	}
	return nil
}

func someArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return &usageError{fmt.Errorf("usage: %s", cmd.UseLine())}
	}
	return nil
}
