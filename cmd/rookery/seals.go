package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

func sealsCommand(s *settings) *cobra.Command {
	seals := &cobra.Command{
		Use: "seals", Short: "Show the keys that envelopes are sealed with, make one, retire one", Args: noArgs,
		Long: `Show the keys that envelopes are sealed with, make one, retire one.

A relay seals every job that it puts into Redis; a worker runs nothing that is not
sealed. The first key was made by the migrations; nothing needs to be done here.
Keys may be changed from time to time: rotate, and retire the old key some minutes
later. Both take the schema's owner.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withURL(cmd, s, func(ctx context.Context, url string) error {
				known, err := rookery.Seals(ctx, url)
				if err != nil {
					return err
				}
				if s.json {
					return printJSON(known)
				}
				return table("KEY\tMADE\tRETIRED", func(line func(...any)) {
					for _, k := range known {
						retired := "no"
						if k.RetiredAt != nil {
							retired = k.RetiredAt.Format(time.RFC3339)
						}
						line(k.ID, k.CreatedAt.Format(time.RFC3339), retired)
					}
				})
			})
		},
	}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Make a new key; relays seal with it a minute later", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withURL(cmd, s, func(ctx context.Context, url string) error {
				id, err := rookery.RotateSeals(ctx, url)
				if err != nil {
					return err
				}
				fmt.Println(id)
				return nil
			})
		},
	}
	var force bool
	retire := &cobra.Command{
		Use: "retire KEY [--force]", Short: "Forget an old key: what it has sealed is not run any more", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil {
				return &usageError{fmt.Errorf("%q is no key; rookery seals lists them", args[0])}
			}
			return withURL(cmd, s, func(ctx context.Context, url string) error {
				return rookery.RetireSeal(ctx, url, int32(id), force)
			})
		},
	}
	retire.Flags().BoolVar(&force, "force", false, "the key has leaked: retire it even though jobs that it has sealed are under way")
	seals.AddCommand(rotate, retire)
	return seals
}

// withURL loads the configuration and gives do the database's URL, and some seconds.
func withURL(cmd *cobra.Command, s *settings, do func(ctx context.Context, url string) error) error {
	config, err := s.load()
	if err != nil {
		return err
	}
	ctx, cancel := asking(cmd.Context())
	defer cancel()
	return do(ctx, config.DatabaseURL)
}
