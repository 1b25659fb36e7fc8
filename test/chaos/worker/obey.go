package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// order is what a payload tells the handler.
type order struct {
	Key   string `json:"key"`
	Do    string `json:"do"` // "" sleeps for MS; deaf does so and ignores its context
	MS    int    `json:"ms"`
	Fails int    `json:"fails"` // fail while failure_count is below
}

func obey(ctx context.Context, j *workers.Job, o order, note func(how string)) error {
	d := time.Duration(o.MS) * time.Millisecond
	switch o.Do {
	case "poison":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // a process may always kill itself
		select {}
	case "hog":
		hog()
	case "deaf":
		// It ignores its context, but writes down that its time was up: the worker
		// records the failure long before it returns.
		end := time.After(d)
		select {
		case <-end:
			return nil
		case <-ctx.Done():
		}
		if errors.Is(context.Cause(ctx), job.ErrTimeout) {
			note("failed")
		}
		<-end
	default:
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if int(j.FailureCount) < o.Fails {
		if o.Do == "panic" {
			panic("told to panic")
		}
		return errors.New("told to fail")
	}
	return nil
}

// hog allocates until the process dies of it: CHAOS_MEMORY limits its address space,
// and Go's runtime ends a process that gets no more.
func hog() {
	var kept [][]byte // never touched: it is the address space that runs out, not the machine
	for {
		kept = append(kept, make([]byte, 16<<20))
		runtime.KeepAlive(kept)
	}
}
