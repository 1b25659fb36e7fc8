package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// process is a child. It leads a process group, dies with the tests, and is always
// waited for.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  output
	err  output
	done chan struct{} // closed when it has ended
}

// output keeps what a child prints. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String returns what was printed so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs a program. The kernel sends Pdeathsig when the thread that forked
// ends, so that thread is kept until the child has ended.
func start(t testing.TB, name string, env []string, argv ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, &p.out, &p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// A program it leaves behind may hold its output open.
	p.cmd.WaitDelay = 2 * time.Second
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is asked of ProcessState
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends sig to the process alone, not to its group.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s %s: %v", sig, p.name, err)
	}
}

// kill ends it with SIGKILL and waits until it is gone.
func (p *process) kill() {
	p.t.Helper()
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// wait returns the exit code, -1 after a signal.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.t.Fatalf("%s has not ended after %s; it said:\n%s", p.name, limit, p.tail())
	}
	return p.cmd.ProcessState.ExitCode()
}

// waitKilled waits for it to be killed by SIGKILL, as a failpoint does.
func (p *process) waitKilled(limit time.Duration) {
	p.t.Helper()
	p.wait(limit)
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		p.t.Fatalf("%s ended: %s, want killed; it said:\n%s", p.name, p.cmd.ProcessState, p.tail())
	}
}

// terminate asks it to end, and wants it to end well.
func (p *process) terminate(limit time.Duration) {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(limit); code != 0 {
		p.t.Errorf("%s after SIGTERM ended with %d, want 0; it said:\n%s", p.name, code, p.tail())
	}
}

// says waits until it has printed text, on either output.
func (p *process) says(limit time.Duration, text string) {
	p.t.Helper()
	devtest.Until(p.t, limit, p.name+" to say "+text, func() (bool, error) {
		said := strings.Contains(p.out.String()+p.err.String(), text)
		if !said && p.ended() {
			p.t.Fatalf("%s ended before it said %q; it said:\n%s", p.name, text, p.tail())
		}
		return said, nil
	})
}

// tail is the end of what it printed.
func (p *process) tail() string {
	text := p.out.String() + p.err.String()
	if len(text) > 6000 {
		text = "…" + text[len(text)-6000:]
	}
	return text
}

// faults names what no child may ever say.
func (p *process) faults() []string {
	var found []string
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: ", "please report this", "permission denied", "NOPERM"} {
		if strings.Contains(p.err.String(), bad) {
			found = append(found, bad)
		}
	}
	return found
}

// run runs a program to its end, and returns its exit code and outputs.
func run(t testing.TB, env []string, argv ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, strings.Join(argv, " "), env, argv...)
	defer p.kill()
	code = p.wait(time.Minute)
	return code, p.out.String(), p.err.String()
}
