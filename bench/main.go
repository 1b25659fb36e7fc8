// Command bench measures Rookery beside other job queues. README.md says how; from
// the folder above:
//
//	make bench         # all workloads, 3 rounds: hours
//	make bench-short   # a taste of each, under 5 minutes
//	go run . run -workloads a,b -systems rookery,river-bench -rounds 5
//	go run . report    # tables and plots of results/, into ../docs/performance.md
//	go run . gate      # the counts that no machine's mood changes, against their ceilings
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"

	"github.com/penguinmails/rookery/bench/actor"
	"github.com/penguinmails/rookery/bench/systems"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	verb := ""
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	var err error
	switch verb {
	case "run", "short":
		err = run(ctx, verb == "short", os.Args[2:])
	case "report":
		err = printReport(os.Args[2:])
	case "gate":
		err = gate(ctx, os.Args[2:])
	case "produce", "work", "relay", "setup", "left", "settings":
		err = act(ctx, verb, os.Args[2:])
	default:
		err = fmt.Errorf("%q is not run, short, report or gate, nor an actor's verb", verb)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// act is one actor of a system that is written in Go. With BENCH_PROFILE=folder it
// leaves a CPU profile there (go tool pprof).
func act(ctx context.Context, verb string, args []string) (err error) {
	if dir := os.Getenv("BENCH_PROFILE"); dir != "" {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d.pprof", verb, os.Getpid())))
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	out := actor.NewLines(os.Stdout)
	servers := actor.Servers{DatabaseURL: os.Getenv("DATABASE_URL"), RedisURL: os.Getenv("REDIS_URL")}
	if verb == "produce" {
		o, err := actor.ParseProduce(args, os.Stderr)
		if err != nil {
			return err
		}
		sys, err := systems.New(o.System)
		if err != nil {
			return err
		}
		return actor.Produce(ctx, sys, servers, o, os.Stdin, out)
	}
	o, err := actor.ParseWork(args, os.Stderr)
	if err != nil {
		return err
	}
	sys, err := systems.New(o.System)
	if err != nil {
		return err
	}
	switch verb {
	case "work":
		return actor.Work(ctx, sys, servers, o, os.Stdin, out)
	case "relay":
		return relay(ctx, servers, o, out)
	case "setup":
		return sys.Setup(ctx, servers)
	case "left":
		left, err := sys.Left(ctx, servers)
		out.Write(map[string]any{"left": left})
		return err
	default:
		out.Write(map[string]any{"settings": sys.Settings()})
		return nil
	}
}
