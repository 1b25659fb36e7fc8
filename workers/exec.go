package workers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

// The exit codes with a meaning of their own (sysexits.h: EX_TEMPFAIL, EX_DATAERR).
// 0 completes the job, any other one is a failed attempt.
const (
	ExitSnooze  = 75
	ExitDiscard = 65
)

// ExecOptions of [Exec]. The zero value works.
type ExecOptions struct {
	Snooze time.Duration // how long exit 75 puts a job back for; 0 means 1 min
	Grace  time.Duration // between SIGTERM and SIGKILL, and for output after the program's end; 0 means 5 s
	Dir    string        // working directory; "" means this process's
	Env    []string      // "KEY=value", added to what is passed on
	Stdout io.Writer     // nil discards what the program prints
	Stderr io.Writer     // gets all of stderr besides; nil: only its tail is kept, as the error
}

// Exec returns a handler that runs a program for each attempt: the payload is its
// standard input, the job's facts are in its environment as ROOKERY_JOB_ID, _KIND,
// _QUEUE_NAME, _PRIORITY, _ATTEMPT_COUNT, _FAILURE_COUNT, _MAX_ATTEMPTS,
// _DISPATCH_ID, _CREATED_AT, _RUN_AT and _HEADERS (JSON), and TRACEPARENT when the
// job has one. Exit 0 completes, 75 snoozes, 65 discards, all else fails; the last
// 8 KB of stderr are the error. After SIGTERM exit 0 does not complete the job.
//
// The program leads a process group of its own. When ctx ends the group gets
// SIGTERM, and SIGKILL after Grace. On Linux the program dies with this process.
// Connection strings and keys of this process are not passed on (see ExecOptions.Env
// for handing over what the program does need).
func Exec(argv []string, o ExecOptions) Handler {
	setDefault(&o.Snooze, time.Minute)
	setDefault(&o.Grace, 5*time.Second)
	return &program{argv: argv, o: o}
}

type program struct {
	argv []string
	o    ExecOptions
}

// Work runs the program once.
func (p *program) Work(ctx context.Context, j *Job) error {
	if len(p.argv) == 0 {
		return errors.New("exec: no program given")
	}
	var stderr tail
	cmd := p.command(ctx, j, &stderr)
	// The parent-death signal comes when the *thread* that forked ends, so this
	// goroutine keeps it (https://github.com/golang/go/issues/27505).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		killGroup(cmd.Process.Pid) // what is left of the group has had its SIGTERM
	}
	return p.verdict(ctx, err, stderr.String())
}

func (p *program) command(ctx context.Context, j *Job, stderr *tail) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.o.Dir, p.o.Stdout, stderr
	if p.o.Stderr != nil {
		cmd.Stderr = io.MultiWriter(stderr, p.o.Stderr)
	}
	cmd.Stdin = bytes.NewReader(orNull(j.Payload))
	cmd.Env = append(append(passedOn(os.Environ()), facts(j)...), p.o.Env...)
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return termGroup(cmd.Process.Pid) }
	cmd.WaitDelay = p.o.Grace
	return cmd
}

// verdict translates how the program ended.
func (p *program) verdict(ctx context.Context, err error, stderr string) error {
	stderr = strings.TrimSpace(stderr)
	var exit *exec.ExitError
	exited := errors.As(err, &exit)
	switch {
	case exited && exit.ExitCode() == ExitSnooze:
		return job.Snooze(p.o.Snooze)
	case exited && exit.ExitCode() == ExitDiscard:
		return job.Discard(said(exit, stderr))
	case ctx.Err() != nil && err != nil:
		// Exit 0 too: a program that ends well on SIGTERM has not said that its work
		// was done, and at worst it is done twice.
		return fmt.Errorf("exec: %w: %w: %s", context.Cause(ctx), err, stderr)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil // the latter: it ended well, and somebody it left behind held its output open
	case exited:
		return said(exit, stderr)
	}
	return fmt.Errorf("exec: %w: %s", err, stderr)
}

func said(exit *exec.ExitError, stderr string) error {
	if stderr == "" {
		return errors.New(exit.String())
	}
	return fmt.Errorf("%w: %s", exit, stderr)
}

// facts are the job's as environment variables.
func facts(j *Job) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	env := []string{
		"ROOKERY_JOB_ID=" + number(j.ID),
		"ROOKERY_JOB_KIND=" + j.Kind,
		"ROOKERY_JOB_QUEUE_NAME=" + j.QueueName,
		"ROOKERY_JOB_PRIORITY=" + number(int64(j.Priority)),
		"ROOKERY_JOB_ATTEMPT_COUNT=" + number(int64(j.AttemptCount)),
		"ROOKERY_JOB_FAILURE_COUNT=" + number(int64(j.FailureCount)),
		"ROOKERY_JOB_MAX_ATTEMPTS=" + number(int64(j.MaxAttempts)),
		"ROOKERY_JOB_DISPATCH_ID=" + number(j.DispatchID),
		"ROOKERY_JOB_CREATED_AT=" + j.CreatedAt.UTC().Format(time.RFC3339Nano),
		"ROOKERY_JOB_RUN_AT=" + j.RunAt.UTC().Format(time.RFC3339Nano),
		"ROOKERY_JOB_HEADERS=" + string(orNull(j.Headers)),
	}
	if parent := j.Header("traceparent"); parent != "" && strings.IndexByte(parent, 0) < 0 {
		env = append(env, "TRACEPARENT="+parent)
	}
	return env
}

// passedOn returns env without what is nobody else's: connection strings, keys,
// and the facts of a job this process may itself be running in.
func passedOn(env []string) []string {
	kept := make([]string, 0, len(env)+16)
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !private(strings.ToUpper(name)) {
			kept = append(kept, e)
		}
	}
	return kept
}

func private(name string) bool {
	switch strings.TrimSuffix(name, "_FILE") {
	case "DATABASE_URL", "REDIS_URL", "TRACEPARENT":
		return true
	}
	if !strings.HasPrefix(name, "ROOKERY_") {
		return false
	}
	for _, secret := range [...]string{"ROOKERY_JOB_", "KEY", "SECRET", "TOKEN", "PASSWORD", "_URL"} {
		if strings.Contains(name, secret) {
			return true
		}
	}
	return false
}

func orNull(raw []byte) []byte {
	if len(raw) == 0 {
		return []byte("null")
	}
	return raw
}

// tail keeps the last job.MaxErrorText bytes written to it.
type tail struct{ kept []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	const most = job.MaxErrorText
	n := len(p)
	if n >= most {
		t.kept = append(t.kept[:0], p[n-most:]...)
		return n, nil
	}
	if over := len(t.kept) + n - most; over > 0 {
		t.kept = t.kept[:copy(t.kept, t.kept[over:])]
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

// String returns what was kept.
func (t *tail) String() string { return string(t.kept) }
