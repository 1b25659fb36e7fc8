package main

import (
	"context"
	"fmt"
	"time"
)

// healing is how long a supervisor takes to start a killed process again.
const healing = 2 * time.Second

// shot is one fault. It is fired in the wave it names, as soon as enough mail is
// waiting to make it hurt.
type shot struct {
	wave int // 0 is the first
	name string
	fire func(ctx context.Context) error
	heal func() error // nil when there is nothing to start again
}

// shots are early enough that what they leave behind, leases that have to end
// (15 s), comes back while mail is still being produced or soon after.
func shots(f *fleet, s *stack) []shot {
	kill := func(wave int, name string) shot {
		return shot{
			wave: wave, name: name + " killed with SIGKILL",
			fire: func(context.Context) error { return f.shoot(name) },
			heal: func() error { return f.replace(name) },
		}
	}
	return []shot{kill(1, "worker-2"), kill(2, "relay-1"), {wave: 3, name: s.flushName(), fire: s.flush}}
}

// shoot fires the shots in their order. start is when production began, waiting
// how much mail is on its way, enough how much makes a shot worth while.
func shoot(ctx context.Context, list []shot, start time.Time, enough int, waiting func() int, say func(string)) error {
	for _, s := range list {
		if err := pause(ctx, time.Until(start.Add(time.Duration(s.wave)*cadence))); err != nil {
			return err
		}
		if err := await(ctx, cadence/2, func() bool { return waiting() >= enough }); err != nil {
			return err
		}
		n := waiting()
		if err := s.fire(ctx); err != nil {
			return fmt.Errorf("shot %q: %w", s.name, err)
		}
		say(fmt.Sprintf("%s, with %s mails under way", s.name, thousands(n)))
		if s.heal == nil {
			continue
		}
		if err := pause(ctx, healing); err != nil {
			return err
		}
		if err := s.heal(); err != nil {
			return err
		}
		say("a fresh process takes its place")
	}
	return nil
}

// await returns when ready says yes, or after patience all the same.
func await(ctx context.Context, patience time.Duration, ready func() bool) error {
	for end := time.Now().Add(patience); !ready() && time.Now().Before(end); {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
