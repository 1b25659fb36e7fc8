package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery"
)

func serveCommand(s *settings) *cobra.Command {
	var (
		addr  string
		wake  string
		doors doors
		spool rookery.Spool
		ui    rookery.UI
		push  bool
		allow allowed
	)
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the HTTP API and a relay",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			if addr != "" {
				config.HTTPAddr = addr
			}
			if err := setWake(&config, wake); err != nil {
				return err
			}
			spoolFlags(cmd, spool, &config.Spool)
			if err := doors.set(cmd, &config); err != nil {
				return err
			}
			setUI(cmd, ui, &config.UI)
			if cmd.Flags().Changed("push") {
				config.Push.On = push
			}
			if err := allow.set(cmd, &config.Push); err != nil {
				return err
			}
			return withService(cmd.Context(), config, func(ctx context.Context, svc *rookery.Service) error {
				if err := svc.CheckSchema(ctx); err != nil {
					return err
				}
				relay, err := svc.Relay()
				if err != nil {
					return err
				}
				api, err := svc.API(ctx, relay)
				if err != nil {
					return err
				}
				runs := []func(context.Context) error{relay.Run, api.Run}
				if config.Push.On {
					p, err := svc.Push()
					if err != nil {
						return err
					}
					runs = append(runs, p.Run)
				}
				if err := api.Listen(); err != nil {
					return err
				}
				scheme := "http"
				if config.TLSCert != "" {
					scheme = "https"
				}
				fmt.Fprintf(os.Stderr, "rookery: listening on %s://%s\n", scheme, api.Addr())
				return runAll(ctx, runs...)
			})
		},
	}
	c.Flags().StringVar(&addr, "http", "", "address of the API (default ROOKERY_HTTP_ADDR or 127.0.0.1:8080)")
	wakeFlag(c, &wake)
	doors.flags(c)
	uiFlags(c, &ui)
	c.Flags().BoolVar(&push, "push", false, "deliver the jobs of queues with an endpoint too, as rookery push does (default ROOKERY_PUSH)")
	allow.flags(c)
	c.Flags().BoolVar(&spool.On, "spool", false, "while Postgres is away keep jobs in Redis and answer 202: weaker than a 201, see docs/errors.md (default ROOKERY_SPOOL)")
	c.Flags().Int64Var(&spool.Entries, "spool-entries", 0, "most requests to keep (default ROOKERY_SPOOL_ENTRIES or 100,000)")
	c.Flags().Int64Var(&spool.Bytes, "spool-bytes", 0, "most bytes to keep (default ROOKERY_SPOOL_BYTES or 64 MB)")
	return c
}

func wakeFlag(c *cobra.Command, wake *string) {
	c.Flags().StringVar(wake, "wake", "", "how producers wake the relay, notify or wal; wal wants wal_level = logical (default ROOKERY_WAKE or notify)")
}

// setWake puts what the flag says over what the environment said.
func setWake(c *rookery.Config, wake string) error {
	if wake == "" {
		return nil
	}
	if err := rookery.CheckWake("--wake", wake); err != nil {
		return &usageError{err}
	}
	c.Wake = wake
	return nil
}

// spoolFlags puts what the flags say over what the environment said.
func spoolFlags(c *cobra.Command, given rookery.Spool, s *rookery.Spool) {
	if c.Flags().Changed("spool") {
		s.On = given.On
	}
	if c.Flags().Changed("spool-entries") {
		s.Entries = given.Entries
	}
	if c.Flags().Changed("spool-bytes") {
		s.Bytes = given.Bytes
	}
}

func relayCommand(s *settings) *cobra.Command {
	var addr, wake string
	c := &cobra.Command{
		Use:   "relay",
		Short: "Run a relay; any number may run side by side",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			if err := setWake(&config, wake); err != nil {
				return err
			}
			return withService(cmd.Context(), config, func(ctx context.Context, svc *rookery.Service) error {
				if err := svc.CheckSchema(ctx); err != nil {
					return err
				}
				relay, err := svc.Relay()
				if err != nil {
					return err
				}
				return runBeside(ctx, addr, relay.Run, func() (runner, error) { return svc.Window(ctx, addr, nil) })
			})
		},
	}
	c.Flags().StringVar(&addr, "http", "", "serve /livez, /readyz and /metrics here (default: not at all)")
	wakeFlag(c, &wake)
	return c
}

func workerCommand(s *settings) *cobra.Command {
	var (
		p    rookery.Program
		addr string
	)
	c := &cobra.Command{
		Use:   "worker --queue NAME [--queue NAME=WEIGHT …] --exec -- PROGRAM [ARGUMENT …]",
		Short: "Run a program for each job of some queues",
		Long: `Run a program for each job: the payload on its standard input, the job's facts in
ROOKERY_JOB_ID, ROOKERY_JOB_KIND, ROOKERY_JOB_ATTEMPT_COUNT, … Exit 0 completes
the job, 75 puts it back for a minute, 65 discards it; anything else fails, with
the end of standard error as the error.

SIGTSTP, as rookery workers quiet, has it take no new jobs and finish those it has.

With --exec 'CMD' a shell runs CMD; with a bare --exec what follows -- is run as it is.`,
		Example: `  rookery worker --queue email:processing --concurrency 8 --exec './send-mail'
  rookery worker --queue high=3 --queue low=1 --exec -- python3 handler.py`,
		RunE: func(cmd *cobra.Command, args []string) error {
			command, _ := cmd.Flags().GetString("exec")
			var err error
			if p.Exec, err = programOf(command, args, cmd.ArgsLenAtDash()); err != nil {
				return &usageError{err}
			}
			return runWorker(cmd, s, p, addr)
		},
	}
	c.Flags().String("exec", "", "shell `command` to run for each job, or the program after --")
	c.Flags().Lookup("exec").NoOptDefVal = bareExec
	c.Flags().DurationVar(&p.Timeout, "timeout", 0, "of an attempt (default 30m; negative: none)")
	c.Flags().StringVar(&addr, "http", "", "serve /livez, /readyz and /metrics here (default: not at all)")
	programFlags(c, &p)
	return c
}

// bareExec is what --exec without a value stands for. A flag that may stand bare
// takes its value by = alone: in "--exec CMD" the command is an argument. Help shows
// it, so it is something to read.
const bareExec = "-- PROGRAM"

// programOf returns what --exec, the arguments and the place of -- among them (-1:
// there is none) ask for.
func programOf(command string, args []string, dash int) ([]string, error) {
	switch {
	case command == "" && dash != 0:
		return nil, errors.New("--exec is missing: which program runs the jobs?")
	case command != "" && command != bareExec:
		if len(args) > 0 {
			return nil, errors.New("give the program either after --exec or after --, not both")
		}
		return shellOf(command)
	case dash < 0 && len(args) == 1:
		return shellOf(args[0])
	case len(args) == 0:
		return nil, errors.New("--exec is missing: which program runs the jobs? Such as --exec ./send-mail, or --exec -- ./send-mail ARGUMENT")
	case dash != 0:
		return nil, errors.New("a program with arguments follows --, or --exec as one quoted word")
	}
	return args, nil
}

// plainPath is a word that a shell takes for a file's path and nothing else.
var plainPath = regexp.MustCompile(`^[\w.+-]*/[\w.+/-]+$`)

// shellOf has a shell run command. When that begins with the path of a program, it must
// be there: the shell would start, and then fail every job.
func shellOf(command string) ([]string, error) {
	if word, _, _ := strings.Cut(strings.TrimSpace(command), " "); plainPath.MatchString(word) {
		if _, err := exec.LookPath(word); err != nil {
			return nil, fmt.Errorf("--exec: %w", err)
		}
	}
	return []string{"/bin/sh", "-c", command}, nil
}

func programFlags(c *cobra.Command, p *rookery.Program) {
	c.Flags().StringArrayVarP(&p.Queues, "queue", "q", nil, "queue to take from, NAME or NAME=WEIGHT; may be repeated")
	c.Flags().IntVarP(&p.Concurrency, "concurrency", "c", 100, "jobs run at once")
	c.Flags().DurationVar(&p.DrainTime, "drain", 0, "how long running jobs may go on at shutdown (default 25s)")
}

func runWorker(cmd *cobra.Command, s *settings, p rookery.Program, addr string) error {
	if len(p.Queues) == 0 {
		return &usageError{errors.New("--queue is missing: which jobs?")}
	}
	config, err := s.load()
	if err != nil {
		return err
	}
	return withService(cmd.Context(), config, func(ctx context.Context, svc *rookery.Service) error {
		if err := svc.CheckSchema(ctx); err != nil {
			return err
		}
		w, err := svc.ProgramWorker(p)
		if err != nil {
			return err
		}
		run := func(ctx context.Context) error { return runAll(ctx, w.Run, onQuiet(w.Quiet)) }
		return runBeside(ctx, addr, run, func() (runner, error) { return svc.Window(ctx, addr, w) })
	})
}

func benchCommand(s *settings) *cobra.Command {
	bench := group(&cobra.Command{Use: "bench", Short: "Measure"})
	var p rookery.Program
	worker := &cobra.Command{
		Use:   "worker --queue NAME [--concurrency N]",
		Short: "Run a worker whose handler does nothing",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runWorker(cmd, s, p, "") },
	}
	programFlags(worker, &p)
	bench.AddCommand(worker)
	return bench
}

// withService opens the service, and closes it when what was done with it has ended.
func withService(ctx context.Context, c rookery.Config, do func(context.Context, *rookery.Service) error) error {
	stop, err := trace(ctx)
	if err != nil {
		return err
	}
	defer stop(ctx)
	svc, err := rookery.Open(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, svc), svc.Close())
}

// runner is what runs until its context ends.
type runner interface{ Run(context.Context) error }

// runBeside runs do, and the window for people and probes when there is an address.
func runBeside(ctx context.Context, addr string, do func(context.Context) error, open func() (runner, error)) error {
	if addr == "" {
		return runAll(ctx, do)
	}
	window, err := open()
	if err != nil {
		return err
	}
	return runAll(ctx, do, window.Run)
}

// runAll runs everything until ctx ends or one of them fails, and waits for all.
func runAll(ctx context.Context, runs ...func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range runs {
		g.Go(func() error { return run(ctx) })
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("%q is not expected here", args[0])}
	}
	return nil
}

// asking bounds a command that asks something and ends.
func asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 30*time.Second)
}
