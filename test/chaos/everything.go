package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

func everythingFaults() []Fault {
	return []Fault{
		{
			Name: "calm", Family: "everything",
			Says:   "no fault at all: nothing runs twice, nothing waits",
			Inject: func(ctx context.Context, _ *stage.Stage, r *rand.Rand) error { return stage.Sleep(ctx, 2*time.Second) },
		},
		{
			Name: "kill-everything", Family: "everything",
			Says:    "SIGKILL of every process and both servers at once (Redis without persistence, Postgres with fsync); all started again. Back: from the servers' return",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Durable, o.API = true, true },
			Inject:  killEverything,
			Back:    relayAlone,
		},
		{
			Name: "kill-everything-aof", Family: "everything", Long: true,
			Says:    "the same, Redis with an AOF flushed each second: it comes back as another life with an old window",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Durable, o.AOF = true, true },
			Inject:  killEverything,
			Back:    relayAlone,
		},
	}
}

func killEverything(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	lift := []func(){s.Fault(history.RedisLost), s.Fault(history.PostgresAway)}
	var all sync.WaitGroup
	for _, p := range s.Processes("") {
		all.Go(p.Kill)
	}
	all.Go(func() { _ = s.RedisServer().Signal(kill) })    // it lives
	all.Go(func() { _ = s.PostgresServer().Signal(kill) }) // so does it
	all.Wait()
	if err := stage.Sleep(ctx, stage.Between(r, 0, 3*time.Second)); err != nil {
		return err
	}
	if err := s.RedisServer().Restart(ctx); err != nil {
		return err
	}
	if err := s.PostgresServer().Restart(ctx, "fast"); err != nil {
		return err
	}
	for _, f := range lift {
		f()
	}
	return s.Heal()
}
