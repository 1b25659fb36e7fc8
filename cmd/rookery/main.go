// Command rookery hands jobs from Postgres to workers through Redis and loses none.
// It holds flags and signals only; package rookery at the root wires the rest.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

// errFindings: doctor found something, and has said what.
var errFindings = errors.New("findings")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	rookery.Quiet()
	err := program().ExecuteContext(ctx)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errFindings):
		os.Exit(exitFailed)
	default:
		fmt.Fprintln(os.Stderr, "rookery:", harmless(err.Error()))
		os.Exit(exitCode(err))
	}
}

// harmless is text without what a terminal would obey: it may repeat an argument, or
// what a server said of somebody's job. Drivers indent by tabs.
func harmless(text string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' {
			return ' '
		}
		if unicode.IsControl(c) && c != '\n' {
			return unicode.ReplacementChar
		}
		return c
	}, text)
}

// usageError says that the command line is wrong.
type usageError struct{ error }

// settings are what every command may need.
type settings struct {
	config string
	output string // table, json or jsonl
	json   bool   // not as a table
}

// load reads the configuration: flags are applied by the commands themselves.
func (s *settings) load() (rookery.Config, error) {
	return rookery.LoadConfig(s.config, os.Getenv)
}

func program() *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:           "rookery",
		Short:         "Jobs from Postgres transactions to workers, through Redis; none is lost",
		Version:       rookery.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Long: `Rookery hands jobs from Postgres to workers through Redis and loses none.

An application inserts a job in the same transaction as its business writes; a
relay hands due jobs to Redis; workers take them, run them, and record what came
of it in Postgres.

It reads DATABASE_URL, REDIS_URL and ROOKERY_… from the environment or from
--config; each secret may be given as a file instead (DATABASE_URL_FILE, …).
To try it: rookery dev

Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 not found, 4 the job's status does
not allow it, 5 not let in, 6 Postgres does not answer.`,
	}
	root.PersistentFlags().StringVar(&s.config, "config", "", "file of NAME=value lines; the environment wins over it")
	outputFlags(root, &s)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	group(root)
	root.AddCommand(
		serveCommand(&s), relayCommand(&s), workerCommand(&s), pushCommand(&s), webhooksCommand(&s), migrateCommand(&s), enqueueCommand(&s),
		jobsCommand(&s), queuesCommand(&s), workersCommand(&s), topCommand(&s), eventsCommand(&s), doctorCommand(&s), sealsCommand(&s), keysCommand(&s), operationsCommand(&s), devCommand(), benchCommand(&s),
		versionCommand(&s), configCommand(&s), healthcheckCommand(&s), openapiCommand(),
	)
	completeFlags(root)
	return root
}

// group makes c a command of commands: alone it prints help, and with one that it
// does not have it fails, which cobra does for the root only.
func group(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.SuggestionsMinimumDistance = 2 // letters
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := "see"
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "? See"
		}
		return &usageError{fmt.Errorf("unknown command %q for %q; %s %s --help", args[0], cmd.CommandPath(), hint, cmd.CommandPath())}
	}
	return c
}
