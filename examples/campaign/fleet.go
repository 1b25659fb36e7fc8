package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// stopPatience is how long a service process may take to stop.
const stopPatience = 10 * time.Second

// errDied: a process of the service ended although nobody had shot it.
var errDied = errors.New("the service failed by itself")

// fleet is the service: relays and workers as child processes.
type fleet struct {
	launcher
	died    context.CancelCauseFunc // told of a process that ends unasked
	watches sync.WaitGroup          // one for each process

	mu   sync.Mutex
	crew map[string]*member
	shot map[int]struct{} // process ids
}

// member is one place in the fleet. Whoever is shot leaves it to a fresh process
// with the same command line, as under a supervisor.
type member struct {
	program string
	args    []string
	child   *child
	ending  bool // its end is wanted
}

func newFleet(l launcher, died context.CancelCauseFunc) *fleet {
	return &fleet{launcher: l, died: died, crew: map[string]*member{}, shot: map[int]struct{}{}}
}

// add starts a new member.
func (f *fleet) add(name, program string, args ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crew[name] = &member{program: program, args: args}
	return f.startLocked(name)
}

// startLocked starts the process of a member and watches over it.
func (f *fleet) startLocked(name string) error {
	m := f.crew[name]
	c, err := f.start(name, nil, m.program, m.args...)
	if err != nil {
		return err
	}
	m.child, m.ending = c, false
	f.watches.Go(func() {
		<-c.done
		f.mu.Lock()
		defer f.mu.Unlock()
		if m.child != c || m.ending {
			return
		}
		err := c.verdict()
		if err == nil {
			err = fmt.Errorf("%s ended with 0", name)
		}
		f.died(fmt.Errorf("%w: %w", errDied, err))
	})
	return nil
}

// shoot kills a member with SIGKILL: it gets no chance to say goodbye.
func (f *fleet) shoot(name string) error {
	f.mu.Lock()
	m := f.crew[name]
	m.ending = true
	f.shot[m.child.cmd.Process.Pid] = struct{}{}
	f.mu.Unlock()
	return m.child.kill()
}

// killed returns how many of the twins have a first copy by a process that was shot.
func (f *fleet) killed(twins []twin) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range twins {
		if _, shot := f.shot[t.First.Process]; shot {
			n++
		}
	}
	return n
}

// replace starts a fresh process in the place of one that was shot.
func (f *fleet) replace(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.startLocked(name)
}

// stop asks all members to end, waits for them, and kills those that take too long.
func (f *fleet) stop() error {
	f.mu.Lock()
	var all []*child
	for _, m := range f.crew {
		if m.child != nil {
			m.ending = true
			all = append(all, m.child)
		}
	}
	f.mu.Unlock()
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for i, c := range all {
		wait.Go(func() { errs[i] = c.stop(stopPatience) })
	}
	wait.Wait()
	f.watches.Wait()
	return errors.Join(errs...)
}
