package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

func versionCommand(s *settings) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "version", Short: "Show what this binary was made of, and the migration that it needs", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := rookery.ThisBuild()
			switch {
			case output == "json" || output == "" && s.json:
				return printJSON(b)
			case output == "" || output == "text":
				commit := b.Commit
				if commit == "" {
					commit = "unknown"
				}
				fmt.Printf("rookery %s\ncommit %s\nschema %d\n%s %s\n", b.Version, commit, b.Schema, b.Go, b.Platform)
				return nil
			}
			return &usageError{fmt.Errorf("--output is %q, must be text or json", output)}
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "text or json (default text)")
	return c
}
