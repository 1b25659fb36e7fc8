package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// launcher starts child processes that cannot outlive the demo.
type launcher struct {
	env  []string
	logs string // folder of their logs
}

// child is a process that is always waited for.
type child struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// start runs program with its output appended to <logs>/<name>.log. stdin may be
// nil. The kernel kills the child when the thread that started it ends, so the
// child gets a goroutine that is locked to its thread and ends only after it.
func (l launcher) start(name string, stdin *os.File, program string, args ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(l.logs, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	c.cmd = exec.Command(program, args...)
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr, c.cmd.SysProcAttr = l.env, log, log, attributes()
	if stdin != nil {
		c.cmd.Stdin = stdin
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		err := c.cmd.Start()
		log.Close() // the child has its own
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // how it ended is asked of ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

// run starts program and waits until it has ended well.
func (l launcher) run(ctx context.Context, name, program string, args ...string) error {
	c, err := l.start(name, nil, program, args...)
	if err != nil {
		return err
	}
	return c.wait(ctx)
}

// wait waits until the child has ended, and kills it when ctx ends before.
func (c *child) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.verdict()
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), c.kill())
	}
}

// verdict returns nil when the child has ended with 0, else how it ended and the
// end of its log. The child must have ended.
func (c *child) verdict() error {
	if c.cmd.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("%s ended: %s; the end of its log:\n%s", c.name, c.cmd.ProcessState, c.tail())
}

// kill ends the child with SIGKILL and waits for its end.
func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-c.done
	return nil
}

// stop asks the child to end, and kills it after patience.
func (c *child) stop(patience time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s did not stop within %s", c.name, patience), c.kill())
	}
}

// tail returns the last lines of the child's log.
func (c *child) tail() []byte {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return []byte("(no log: " + err.Error() + ")")
	}
	const most = 2000
	return bytes.TrimSpace(text[max(0, len(text)-most):])
}
