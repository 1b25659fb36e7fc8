package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
)

// FuzzArguments: whatever is typed, the program ends with help or one error, and
// without servers to speak to no command does anything. Commands that start
// something before they read the configuration are left out.
func FuzzArguments(f *testing.F) {
	for _, name := range []string{"DATABASE_URL", "REDIS_URL", "DATABASE_URL_FILE", "REDIS_URL_FILE"} {
		if err := os.Unsetenv(name); err != nil {
			f.Fatal(err)
		}
	}
	f.Add("jobs\nget\n1")
	f.Add("enqueue\n--queue\nemail:processing\n--payload\n{\"to\": \"a@b.c\"}\n--run-at\n2999-01-01T00:00:00Z\n--max-attempts\n3")
	f.Add("worker\n--queue=high=3\n--exec\n--\nprintf\n%s")
	f.Fuzz(func(t *testing.T, line string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		root := program()
		for _, c := range root.Commands() {
			if c.Name() == "dev" {
				root.RemoveCommand(c)
			}
		}
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		args := strings.Split(line, "\n")
		root.SetArgs(args)
		err := root.ExecuteContext(ctx)
		switch {
		case ctx.Err() != nil:
			t.Fatalf("rookery %q did not end", args)
		case err == nil:
		case err.Error() == "":
			t.Errorf("rookery %q failed without a word", args)
		case strings.ContainsAny(harmless(err.Error()), "\x00\x1b\x07\b\r\u009b"):
			t.Errorf("rookery %q says %q, which a terminal obeys", args, err)
		}
	})
}

// FuzzConfigFile: a file of NAME=value lines is read, or refused without a word of
// what stands in it.
func FuzzConfigFile(f *testing.F) {
	const secret = "hunter2!"
	file := filepath.Join(f.TempDir(), "rookery.env")
	f.Add("DATABASE_URL=postgres://me:", "@localhost/db\n")
	f.Add("ROOKERY_LEASE=5s\nREDIS_URL='redis://:", "@localhost'\nROOKERY_LOG_LEVEL=debug\n")
	f.Add("ROOKERY_API_KEYS=\"", "\n")
	f.Add("REDIS_URL_FILE=redis://:", "@localhost")
	f.Add("ROOKERY_LEASE=", "")
	f.Add("ROOKERY_RETENTION_DEAD=", "")
	f.Fuzz(func(t *testing.T, before, after string) {
		if err := os.WriteFile(file, []byte(before+secret+after), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := rookery.LoadConfig(file, func(string) string { return "" })
		if err == nil {
			if c.Lease != 0 && (c.Lease < time.Second || c.Lease > time.Hour) {
				t.Errorf("LoadConfig(%q) has the lease %s", before+secret+after, c.Lease)
			}
			return
		}
		settings := strings.Contains(err.Error(), "ROOKERY_L") || strings.Contains(err.Error(), "ROOKERY_RETENTION") // a lease, a log level, a format and a retention are no secrets
		if strings.Contains(err.Error(), secret) && !settings || strings.Contains(err.Error(), "\n") {
			t.Errorf("LoadConfig(%q) = %v, want one line without a secret", before+secret+after, err)
		}
	})
}
