package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

// flagValues are the words that flags may have which take one of a few, for shells.
func flagValues() map[string][]string {
	return map[string][]string{
		"output": {asTable, asJSON, asLines},
		"status": job.Filters(),
		"scope":  strings.Split(scopeWords(), ", "),
		"for":    {"relay", "worker", "push", "api", "serve"},
		"wake":   {rookery.WakeNotify, rookery.WakeWAL},
	}
}

// completeFlags has shells complete the flags of flagValues, of c and all below it.
func completeFlags(c *cobra.Command) {
	for name, values := range flagValues() {
		if f := c.LocalNonPersistentFlags().Lookup(name); f != nil || c.PersistentFlags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
		}
	}
	for _, sub := range c.Commands() {
		completeFlags(sub)
	}
}
