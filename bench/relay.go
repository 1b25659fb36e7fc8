package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/bench/actor"
	"github.com/penguinmails/rookery/bench/systems"
)

// relay runs what moves jobs from Postgres to Redis until stdin is closed: for
// Rookery the same as `rookery relay`, with its settings from the environment.
func relay(ctx context.Context, s actor.Servers, o actor.WorkOptions, out *actor.Lines) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run := func() error { return systems.FloorRelay(ctx, s) }
	if o.System != "floor" {
		c, err := rookery.LoadConfig("", os.Getenv)
		if err != nil {
			return err
		}
		svc, err := rookery.Open(ctx, c)
		if err != nil {
			return err
		}
		defer func() { _ = svc.Close() }()
		r, err := svc.Relay()
		if err != nil {
			return err
		}
		run = func() error { return r.Run(ctx) }
	}
	out.Write(map[string]any{"ready": true})
	if err := run(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	runtime.ReadMemStats(&after)
	out.Write(map[string]any{"done": true, "mallocs": after.Mallocs - before.Mallocs, "bytes": after.TotalAlloc - before.TotalAlloc})
	return nil
}
