package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

// openapiCommand prints the document that /v1/openapi.json serves, for those who make
// clients of it where no server runs.
func openapiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "openapi", Short: "Print the HTTP API's OpenAPI 3.1 document, with every route", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := rookery.OpenAPI()
			if err != nil {
				return err
			}
			var lines bytes.Buffer
			if err := json.Indent(&lines, text, "", "  "); err != nil {
				return err
			}
			fmt.Println(lines.String())
			return nil
		},
	}
}
