package main

import (
	"context"
	"errors"
	"flag"
	"os"

	ceilings "github.com/penguinmails/rookery/bench/gate"
)

// gate counts what a job costs and prints it beside its ceilings; anything above one
// is an error.
func gate(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("gate", flag.ContinueOnError)
	dir := f.String("dir", ".", "the folder of bench")
	if err := f.Parse(args); err != nil {
		return err
	}
	counts, err := ceilings.Measure(ctx, *dir)
	if err != nil {
		return err
	}
	verdicts, err := ceilings.Judge(counts, ceilings.Ceilings())
	ceilings.Print(os.Stdout, verdicts)
	if err != nil {
		return err
	}
	for _, v := range verdicts {
		if v.Excess() {
			return errors.New("a job costs more than it may")
		}
	}
	return nil
}
