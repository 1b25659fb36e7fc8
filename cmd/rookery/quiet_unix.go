//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// onQuiet calls quiet for each SIGTSTP until ctx ends, as Sidekiq's operators are used
// to; Ctrl-Z sends one as well.
func onQuiet(quiet func()) func(context.Context) error {
	return func(ctx context.Context) error {
		signals := make(chan os.Signal, 1) // 1: signal does not wait for us
		signal.Notify(signals, syscall.SIGTSTP)
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-signals:
				quiet()
			}
		}
	}
}
