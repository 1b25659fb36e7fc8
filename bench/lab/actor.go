package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Actor is a process of the system under test. Its output is read by a goroutine of
// its own.
type Actor struct {
	Group string // producers, workers, relay
	cmd   *exec.Cmd
	stdin io.WriteCloser
	file  string // of its record, "" is none

	ready, ended chan struct{}

	mu     sync.Mutex
	ran    int64
	change chan struct{} // closed when ran changes
	last   line
	err    error
}

// line is one line of an actor.
type line struct {
	Ready    bool    `json:"ready"`
	Done     bool    `json:"done"`
	Ran      int64   `json:"ran"`
	Jobs     int64   `json:"jobs"`
	Seconds  float64 `json:"seconds"`
	Mallocs  int64   `json:"mallocs"`
	Bytes    int64   `json:"bytes"`
	Left     int64   `json:"left"`
	Settings string  `json:"settings"`
}

func (l *Lab) command(ctx context.Context, verb string, args ...string) (*exec.Cmd, error) {
	args = append([]string{verb, "-system", l.o.System}, args...)
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if Node(l.o.System) {
		program, args = "node", append([]string{filepath.Join(l.o.Dir, "node", "main.mjs")}, args...)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+l.pg.URL("postgres"), "REDIS_URL="+l.redis.URL(), "ROOKERY_LOG_LEVEL=warn")
	cmd.Env = append(cmd.Env, l.o.Env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// Ask runs setup, left or settings and returns its answer.
func (l *Lab) Ask(ctx context.Context, verb string) (line, error) {
	cmd, err := l.command(ctx, verb)
	if err != nil {
		return line{}, err
	}
	out, err := cmd.Output()
	if err != nil {
		return line{}, fmt.Errorf("%s of %s: %w: %s", verb, l.o.System, err, out)
	}
	var a line
	if verb == "setup" {
		return a, nil
	}
	if err := json.Unmarshal(out, &a); err != nil {
		return a, fmt.Errorf("%s of %s: %w: %s", verb, l.o.System, err, out)
	}
	return a, nil
}

// Start runs an actor and returns when it is ready. With recorded it writes a record.
func (l *Lab) Start(ctx context.Context, group, verb string, recorded bool, args ...string) (*Actor, error) {
	a := &Actor{Group: group, ready: make(chan struct{}), ended: make(chan struct{}), change: make(chan struct{})}
	if recorded {
		a.file = l.record(fmt.Sprintf("%s-%d", verb, len(l.actors)))
		args = append(args, "-record", a.file)
	}
	cmd, err := l.command(ctx, verb, args...)
	if err != nil {
		return nil, err
	}
	a.cmd = cmd
	if a.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s of %s: %w", verb, l.o.System, err)
	}
	l.actors = append(l.actors, a)
	go a.read(out)
	select {
	case <-a.ready:
		return a, nil
	case <-a.ended:
		return nil, fmt.Errorf("%s of %s ended before it was ready: %w", verb, l.o.System, a.err)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("%s of %s was not ready after 30 s", verb, l.o.System)
	}
}

func (a *Actor) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			fmt.Fprintf(os.Stderr, "bench: not JSON: %s\n", lines.Bytes())
			continue
		}
		a.mu.Lock()
		switch {
		case l.Ready:
			close(a.ready)
		case l.Done:
			a.last = l
		default:
			a.ran = l.Ran
		}
		close(a.change)
		a.change = make(chan struct{})
		a.mu.Unlock()
	}
	err := a.cmd.Wait()
	a.mu.Lock()
	a.err = err
	if err == nil && !a.last.Done {
		a.err = errors.New("it ended without a last line")
	}
	a.mu.Unlock()
	close(a.ended)
}

// Ran returns how many handlers have returned, and what is closed when it changes.
func (a *Actor) Ran() (int64, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ran, a.change
}

// Go tells a producer to begin.
func (a *Actor) Go() error {
	_, err := io.WriteString(a.stdin, "\n")
	return err
}

// Wait waits for an actor that ends by itself.
func (a *Actor) Wait(ctx context.Context) (jobs int64, seconds float64, err error) {
	select {
	case <-a.ended:
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	return a.last.Jobs, a.last.Seconds, a.err
}

// Stop ends an actor in good order.
func (a *Actor) Stop(ctx context.Context) error {
	_ = a.stdin.Close()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	_, _, err := a.Wait(ctx)
	if err != nil {
		return fmt.Errorf("stop %s: %w", a.Group, err)
	}
	return nil
}

func (a *Actor) kill() {
	_ = a.cmd.Process.Kill()
	<-a.ended
}

// pause stops and resumes nothing else than the caller.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
