package actor

import (
	"flag"
	"fmt"
	"io"
)

// ParseProduce reads the flags of produce.
func ParseProduce(args []string, errs io.Writer) (o ProduceOptions, err error) {
	f := flag.NewFlagSet("produce", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.System, "system", "", "name")
	f.Int64Var(&o.Jobs, "jobs", 1000, "how many")
	f.Int64Var(&o.First, "first", 0, "number of the first")
	f.IntVar(&o.Producers, "producers", 16, "at once")
	f.IntVar(&o.PerTx, "per-tx", 100, "jobs per transaction")
	f.IntVar(&o.Payload, "payload", 120, "bytes")
	f.Float64Var(&o.Rate, "rate", 0, "transactions a second; 0: as fast as they go")
	f.BoolVar(&o.Business, "business", false, "a row of bench_orders in the same transaction")
	f.StringVar(&o.Queue, "queue", "bench", "queue")
	f.IntVar(&o.Queues, "queues", 0, "spread over bench-0 …")
	f.IntVar(&o.QueueFirst, "queue-first", 0, "the first of them is bench-n")
	f.DurationVar(&o.DelayFrom, "delay-from", 0, "schedule from now + this")
	f.DurationVar(&o.DelayTo, "delay-to", 0, "to now + this")
	f.StringVar(&o.Record, "record", "", "file for the moments")
	if err = f.Parse(args); err != nil {
		return o, err
	}
	if o.Jobs < 0 || o.Producers < 1 || o.PerTx < 1 || o.Payload < 0 || o.DelayTo < o.DelayFrom {
		return o, fmt.Errorf("produce: jobs, producers, per-tx, payload and delays must not be negative: %+v", o)
	}
	return o, nil
}

// ParseWork reads the flags of work.
func ParseWork(args []string, errs io.Writer) (o WorkOptions, err error) {
	f := flag.NewFlagSet("work", flag.ContinueOnError)
	f.SetOutput(errs)
	var queues int
	f.StringVar(&o.System, "system", "", "name")
	f.Func("queue", "queue to work on, again for more; bench", func(v string) error {
		o.Queue = append(o.Queue, v)
		return nil
	})
	f.IntVar(&queues, "queues", 0, "work on bench-0 …")
	f.IntVar(&o.Concurrency, "concurrency", 0, "handlers at once; 0: as recommended")
	f.DurationVar(&o.Sleep, "sleep", 0, "each handler takes so long")
	f.Int64Var(&o.FailEvery, "fail-every", 0, "the first attempt of every n-th job fails")
	f.StringVar(&o.Record, "record", "", "file for the moments")
	if err = f.Parse(args); err != nil {
		return o, err
	}
	for i := range queues {
		o.Queue = append(o.Queue, fmt.Sprintf("bench-%d", i))
	}
	if len(o.Queue) == 0 {
		o.Queue = []string{"bench"}
	}
	return o, nil
}
