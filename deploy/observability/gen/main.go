// Command gen writes the alerts and the dashboard of package observability into the
// folder it is run in.
package main

import (
	"fmt"
	"os"

	"github.com/penguinmails/rookery/deploy/observability"
)

func main() {
	files, err := observability.Files()
	if err == nil {
		err = write(files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(files map[string][]byte) error {
	for name, text := range files {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
