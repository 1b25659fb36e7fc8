package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// Role is what a process is.
type Role string

// The roles.
const (
	Relay    Role = "relay"    // rookery relay
	API      Role = "api"      // rookery serve: the HTTP API and a relay
	Serve    Role = "serve"    // the same, for clients to lease jobs from
	Worker   Role = "worker"   // test/chaos/worker
	Producer Role = "producer" // test/chaos/producer
	Client   Role = "client"   // test/chaos/client: a worker over HTTP
	Push     Role = "push"     // rookery push
	Receiver Role = "receiver" // test/chaos/receiver: what it delivers to
)

// Process is a place in the cast: a name, and at most one living process at a time.
// Its methods are safe for concurrent use.
type Process struct {
	Name  string
	Role  Role
	stage *Stage

	mu     sync.Mutex // guards what follows
	cmd    *exec.Cmd
	done   chan struct{} // closed when the present life has ended; nil before the first
	lives  int
	frozen bool
	env    []string // of the present life, beyond what every process gets
	http   string   // of the API

	callback string // see Callback
}

// Start starts a process of role, with NAME=value added to its environment, and
// links of its own to both servers. Names must be unique.
func (s *Stage) Start(role Role, name string, env ...string) (*Process, error) {
	p := &Process{Name: name, Role: role, stage: s}
	if err := p.Start(env...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs = append(s.procs, p)
	return p, nil
}

// Processes returns those of a role in the order in which they were first started;
// "" means all.
func (s *Stage) Processes(role Role) []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.procs), func(p *Process) bool { return role != "" && p.Role != role })
}

// Start starts the process again; env replaces what its last life was given beyond
// the usual. It does nothing when the process lives.
func (p *Process) Start(env ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done != nil && !closed(p.done) {
		return nil
	}
	all, argv, err := p.commandLocked(env)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = all, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.lives++
	done := make(chan struct{})
	if err := p.spawn(cmd, done); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.done, p.frozen, p.env = cmd, done, false, env
	return p.note(history.Up, cmd.Process.Pid, p.callback)
}

// spawn starts cmd in a thread that lives as long as the child: the kernel sends
// Pdeathsig when the thread that forked ends. It notes the child's end.
func (p *Process) spawn(cmd *exec.Cmd, done chan struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is asked of ProcessState
			_ = p.note(history.Ended, cmd.Process.Pid, cmd.ProcessState.String())
		}
	}()
	return <-started
}

func (p *Process) note(word history.Word, pid int, how string) error {
	return p.stage.Log.Note(history.Act{Word: word, Proc: p.Name, PID: pid, How: how, Target: string(p.Role)})
}

// commandLocked returns the environment and the command line of the next life.
func (p *Process) commandLocked(more []string) (env, argv []string, err error) {
	s := p.stage
	program := func(name string) string { return filepath.Join(s.Options.Bin, name) }
	switch p.Role { //nolint:exhaustive // the others need the stores
	case Client:
		env, err = s.clientEnv(p.Name)
		return append(append(env, s.Options.ClientEnv...), more...), []string{program("client")}, err
	case Receiver:
		env, err = s.receiverEnv(p.Name)
		return append(env, more...), []string{program("receiver")}, err
	}
	post, err := s.Link(p.Name, Postgres)
	if err != nil {
		return nil, nil, err
	}
	red, err := s.Link(p.Name, Redis)
	if err != nil {
		return nil, nil, err
	}
	o := s.Options
	postgres, redis, err := s.urls(p.Role, post, red)
	if err != nil {
		return nil, nil, err
	}
	env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir, "TZ=UTC", "ROOKERY_LOG_FORMAT=json",
		"DATABASE_URL=" + postgres, "REDIS_URL=" + redis,
		"CHAOS_HISTORY=" + s.History(), "CHAOS_NAME=" + p.Name, "CHAOS_LIFE=" + strconv.Itoa(p.lives),
		"CHAOS_QUEUES=" + strings.Join(o.Queues, ","), "CHAOS_SLOTS=" + strconv.Itoa(o.Slots), "CHAOS_MIX=" + o.Mix,
		"CHAOS_SEED=" + strconv.FormatUint(o.Seed, 10),
		"CHAOS_RATE=" + strconv.FormatFloat(o.Rate/float64(max(1, o.Producers+apis(o.API))), 'f', 3, 64),
	}
	if o.Lease > 0 {
		env = append(env, "ROOKERY_LEASE="+o.Lease.String())
	}
	switch p.Role {
	case Relay:
		env, argv = append(env, o.RelayEnv...), []string{program("rookery"), "relay"}
	case Worker:
		env, argv = append(env, o.WorkerEnv...), []string{program("worker")}
	case Producer:
		argv = []string{program("producer")}
	case API, Serve:
		if p.http == "" {
			if p.http, err = QuietPort(); err != nil {
				return nil, nil, err
			}
			s.aim(Server(p.Name), p.http)
		}
		env, argv = append(env, o.RelayEnv...), []string{program("rookery"), "serve", "--http", p.http}
	case Push:
		allow, err := s.pushEnv(p)
		if err != nil {
			return nil, nil, err
		}
		env, argv = append(env, allow...), []string{program("rookery"), "push"}
	case Client, Receiver: // above
	}
	return append(env, more...), argv, nil
}

func apis(has bool) int {
	if has {
		return 1
	}
	return 0
}

// HTTP returns where the API listens.
func (p *Process) HTTP() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.http
}

// LogFile returns the path of what all lives of the process have said.
func (p *Process) LogFile() string { return filepath.Join(p.stage.Options.Dir, "log", p.Name) }

// said returns the first line of the log that contains text.
func (p *Process) said(text string) (string, bool) {
	log, err := os.ReadFile(p.LogFile())
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, text) {
			return cut(line), true
		}
	}
	return "", false
}

// Link returns the process's link to server.
func (p *Process) Link(server Server) *Link {
	l, err := p.stage.Link(p.Name, server)
	if err != nil {
		panic(err) // Start has made it
	}
	return l
}

// PID returns the process id of the present or last life.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Lives returns how often the process was started.
func (p *Process) Lives() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lives
}

// Alive reports whether the process lives, frozen or not.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done != nil && !closed(p.done)
}

// Kill sends SIGKILL and waits until the process is gone. One that has ended is left
// alone.
func (p *Process) Kill() {
	p.signal(history.Killed, syscall.SIGKILL)
	<-p.ended()
}

// Freeze sends SIGSTOP.
func (p *Process) Freeze() { p.signal(history.Frozen, syscall.SIGSTOP) }

// Thaw sends SIGCONT.
func (p *Process) Thaw() { p.signal(history.Thawed, syscall.SIGCONT) }

// Stop sends SIGTERM and waits until the process has ended. The error says that it
// has not within limit, or ended badly.
func (p *Process) Stop(limit time.Duration) error {
	p.mu.Lock()
	_ = p.note(history.Stopping, p.cmd.Process.Pid, "")
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	cmd := p.cmd
	p.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.ended():
	case <-timer.C:
		return fmt.Errorf("%s has not stopped after %s", p.Name, limit)
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("%s stopped with %s", p.Name, cmd.ProcessState)
	}
	return nil
}

// Await waits until the process has ended, as one with a failpoint does.
func (p *Process) Await(ctx context.Context) error {
	select {
	case <-p.ended():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s has not ended: %w", p.Name, context.Cause(ctx))
	}
}

func (p *Process) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

func (p *Process) signal(word history.Word, sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil || closed(p.done) {
		return
	}
	// Noted before it happens: what the process does after the note, it may do.
	_ = p.note(word, p.cmd.Process.Pid, "")
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(fmt.Sprintf("%s %s: %v", sig, p.Name, err)) // it is our own child
	}
	p.frozen = sig == syscall.SIGSTOP
}

// end kills the process at the end of the stage.
func (p *Process) end() {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if done == nil {
		return
	}
	_ = cmd.Process.Kill() // it may have ended
	<-done
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func randomPort(n int) int { return rand.IntN(n) }

// Stands reports whether the kernel shows the process as stopped.
func (p *Process) Stands() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return false
	}
	_, rest, ok := strings.Cut(string(text), ") ")
	return ok && strings.HasPrefix(rest, "T")
}
