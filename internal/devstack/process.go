package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child process that is always waited for.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended
}

// stage is one step of stopping: a signal, and how long it may take.
type stage struct {
	signal syscall.Signal
	wait   time.Duration
}

// start runs program in f, as f's account and with an environment of almost
// nothing, its output appended to the folder's log. death is what the kernel sends
// it when we die.
//
// The kernel ties that to the life of a thread, not of a process. So the child gets
// a thread to itself, which starts it and then waits for it: a goroutine that is
// locked to its thread and ends only after the child.
func start(f *folder, death syscall.Signal, program string, args ...string) (*process, error) {
	log, err := os.OpenFile(f.join("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	cmd := exec.Command(program, args...) // without ctx: that bounds the start, and the server outlives it
	cmd.Dir = f.path
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + f.path, "LC_ALL=C", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(f.account, death)

	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		_ = log.Close() // the child has its own
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is asked of cmd.ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return p, nil
}

// run starts program and waits for it to end well.
func run(ctx context.Context, f *folder, program string, args ...string) error {
	p, err := start(f, syscall.SIGKILL, program, args...)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("run %s: %w", program, context.Cause(ctx)), p.stop(stage{syscall.SIGKILL, 5 * time.Second}))
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("run %s: %s; it said:\n%s", program, p.cmd.ProcessState, f.logTail())
	}
	return nil
}

// ended reports whether the child has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop goes through the stages until the child has ended. A child that is stopped
// (SIGSTOP) is continued first: it hears nothing but SIGKILL otherwise.
func (p *process) stop(stages ...stage) error {
	for _, s := range stages {
		for _, signal := range []syscall.Signal{s.signal, syscall.SIGCONT} {
			if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
			}
		}
		timer := time.NewTimer(s.wait)
		select {
		case <-p.done:
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
	return fmt.Errorf("stop %s: process %d does not end", p.cmd.Path, p.cmd.Process.Pid)
}

// await asks ready every 5 ms until it says yes. It fails when the child ends
// first, or ctx does.
func (p *process) await(ctx context.Context, f *folder, ready func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready() {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s; it said:\n%s", p.cmd.Path, p.cmd.ProcessState, f.logTail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; it said:\n%s", p.cmd.Path, context.Cause(ctx), f.logTail())
		case <-tick.C:
		}
	}
}
