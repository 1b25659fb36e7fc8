// Command with runs a command with a private Postgres and Redis, which it finds in
// DATABASE_URL and REDIS_URL, and which end with it:
//
//	go run ./internal/devstack/with psql -c 'SELECT version()'
//
// Nothing is migrated. PATH begins with the folder of Postgres' own programs, and
// PGHOST, PGPORT, PGUSER and PGDATABASE are set for them. It exits as the command
// does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/internal/devstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := with(ctx, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "with:", err)
		os.Exit(1)
	}
}

// with starts the servers, runs the command and stops the servers.
func with(ctx context.Context, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("which command? usage: with command [argument ...]")
	}
	if err := devstack.Install(ctx, os.Stderr); err != nil {
		return err
	}
	postgres, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Stop()) }()
	redis, err := devstack.StartRedis(ctx, devstack.RedisOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Stop()) }()

	environment := append(os.Environ(),
		"PATH="+postgres.Bin()+string(os.PathListSeparator)+os.Getenv("PATH"),
		"PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(postgres.Port()), "PGUSER=postgres", "PGDATABASE=postgres",
		"DATABASE_URL="+postgres.URL("postgres"), "REDIS_URL="+redis.URL())
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = environment
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd.Run()
}
