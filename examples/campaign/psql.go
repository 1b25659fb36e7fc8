package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed sql/psql.sql
var psqlScript string

// findPsql returns the path of psql, from PATH or beside the Postgres programs in
// bin, or "" when there is none.
func findPsql(bin string) string {
	if path, err := exec.LookPath("psql"); err == nil {
		return path
	}
	if path, err := exec.LookPath(filepath.Join(bin, "psql")); bin != "" && err == nil {
		return path
	}
	return ""
}

// runPsql is the producer that is no program at all: psql, fed with psql.sql once
// for each transaction. It returns when psql has ended.
func runPsql(ctx context.Context, launch launcher, psql, databaseURL, queue string, recipients int) error {
	target, env, err := hidePassword(databaseURL)
	if err != nil {
		return err
	}
	in, script, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("feed psql: %w", err)
	}
	launch.env = append(launch.env[:len(launch.env):len(launch.env)], env...)
	child, err := launch.start("psql", in, psql, psqlArguments(queue, target)...)
	in.Close() // psql has its own
	if err != nil {
		script.Close()
		return err
	}
	fed := everyWave(ctx, recipients, func(_ context.Context, wave int, plan []batch) error {
		return feedWave(script, wave, plan)
	})
	script.Close() // the end of its input is the end of psql
	// What psql died of says more than that its input could not be written.
	if err := child.wait(ctx); err != nil {
		return err
	}
	return fed
}

// psqlArguments makes psql quiet, deaf to the user's own settings, and end at the
// first error.
func psqlArguments(queue, target string) []string {
	return []string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "queue=" + queue, "-d", target}
}

// feedWave writes one mailing: a campaign, and the script for each transaction.
func feedWave(script io.Writer, wave int, plan []batch) error {
	_, err := fmt.Fprintf(script, "INSERT INTO campaign.campaigns (name, producer) VALUES ('Vote %d', 'psql') RETURNING id AS campaign \\gset\n", wave+1)
	if err != nil {
		return fmt.Errorf("feed psql: %w", err)
	}
	for _, b := range plan {
		if _, err := fmt.Fprintf(script, "\\set size %d\n\\set doomed %t\n%s\n", b.size, b.doomed, psqlScript); err != nil {
			return fmt.Errorf("feed psql: %w", err)
		}
	}
	return nil
}

// hidePassword takes the password out of a connection URL, because everybody on
// the machine can read a command line, and returns it as environment.
func hidePassword(databaseURL string) (target string, env []string, err error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", nil, fmt.Errorf("DATABASE_URL is not a URL") // its text holds the password
	}
	if password, set := u.User.Password(); set {
		u.User = url.User(u.User.Username())
		env = []string{"PGPASSWORD=" + password}
	}
	return u.String(), env, nil
}
