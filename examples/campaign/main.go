// Command campaign is the demo of Rookery: an e-mail campaign delivered through a
// service which is being shot at, and then counted.
//
//	campaign           starts servers, the service, producers and a mail server,
//	                   kills a worker and a relay, flushes Redis, and compares
//	                   what was committed with the mail that arrived
//	campaign produce   one of the producers     (started by the demo)
//	campaign worker    one of the workers       (started by the demo)
//
// The demo owns every process it starts, and leaves none behind. What it finds is
// read from the business tables and from the mail server's files; it asks Rookery
// only whether every job is over.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the demo's flags.
type options struct {
	recipients int
	limit      time.Duration // for everything after the start of the servers
	keep       bool
	dev        bool
	rookery    string // path of the binary; "" means look for it
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errVerdict): // the report has said it
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "campaign:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	mode := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		mode, args = args[0], args[1:]
	}
	switch mode {
	case "":
		o, err := parseOptions(args)
		if err != nil {
			return err
		}
		return runDemo(ctx, o, os.Stdout)
	case "produce":
		return runProducer(ctx, args)
	case "worker":
		return runWorker(ctx, args)
	}
	return fmt.Errorf("%q is no mode; there are produce and worker, and none for the demo", mode)
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("campaign", flag.ContinueOnError)
	flags.IntVar(&o.recipients, "recipients", 20_000, "recipients to commit")
	seconds := flags.Int("seconds", 80, "give up after so many seconds")
	flags.BoolVar(&o.keep, "keep", false, "keep the mail and the logs")
	flags.BoolVar(&o.dev, "dev", false, "leave everything running until Ctrl-C")
	flags.StringVar(&o.rookery, "rookery", "", "path of the rookery binary (default: beside this program, then ./bin, then PATH)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.recipients < 1 || *seconds < 1 {
		return o, errors.New("-recipients and -seconds must be at least 1")
	}
	o.limit = time.Duration(*seconds) * time.Second
	return o, nil
}
