package main

import (
	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

func uiFlags(c *cobra.Command, given *rookery.UI) {
	c.Flags().BoolVar(&given.Off, "no-ui", false, "do not serve the dashboard at /ui/ (default ROOKERY_UI: on, off or read-only)")
	c.Flags().BoolVar(&given.ReadOnly, "ui-read-only", false, "serve the dashboard for looking only")
}

// setUI puts what the flags say over what the environment said.
func setUI(c *cobra.Command, given rookery.UI, ui *rookery.UI) {
	if c.Flags().Changed("no-ui") {
		ui.Off = given.Off
	}
	if c.Flags().Changed("ui-read-only") {
		ui.ReadOnly = given.ReadOnly
	}
}
