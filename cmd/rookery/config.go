package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

func configCommand(s *settings) *cobra.Command {
	config := group(&cobra.Command{Use: "config", Short: "Show the configuration"})
	config.AddCommand(&cobra.Command{
		Use: "print", Short: "Show every value that holds, and where it comes from", Args: noArgs,
		Long: `Show every value that holds, and where it comes from: the environment, the file of
--config, the variable that named a file with the secret, or the default. Passwords
and keys are not shown. Flags of other commands are not known here.`,
		RunE: func(*cobra.Command, []string) error {
			all, err := rookery.Settings(s.config, os.Getenv)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(all)
			}
			return table("NAME\tVALUE\tSOURCE", func(line func(...any)) {
				for _, one := range all {
					line(one.Name, printable(one.Value), one.Source)
				}
			})
		},
	})
	return config
}
