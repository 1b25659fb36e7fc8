//go:build unix

package workers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func script(t *testing.T, o ExecOptions, text string) error {
	t.Helper()
	e := envelopes("mail", 7, 1)[0]
	e.QueueName, e.Payload, e.Headers = "q", []byte(`{"to":"a@b.c"}`), []byte(`{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`)
	return Exec([]string{"sh", "-c", text}, o).Work(t.Context(), &Job{Envelope: e})
}

func TestExec_ExitCodes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]job.Outcome{
		"exit 0":                    {Kind: job.Succeeded},
		"exit 75":                   {Kind: job.Snoozed, Delay: time.Minute},
		"echo bad >&2; exit 65":     {Kind: job.Discarded, Error: "exit status 65: bad"},
		"echo worse >&2; exit 3":    {Kind: job.Failed, Error: "exit status 3: worse"},
		"exit 1":                    {Kind: job.Failed, Error: "exit status 1"},
		"kill -9 $$":                {Kind: job.Failed, Error: "signal: killed"},
		"head -c 300000 /dev/zero":  {Kind: job.Succeeded},
		"exec /nowhere/at/all 2>&-": {Kind: job.Failed, Error: "exit status 127"},
	} {
		got := job.OutcomeOf(job.Ref{}, script(t, ExecOptions{}, text), 0, 0)
		if got.Kind != want.Kind || got.Error != want.Error || got.Delay != want.Delay {
			t.Errorf("%q = %+v, want %+v", text, got, want)
		}
	}
	if err := Exec([]string{"/nowhere/at/all"}, ExecOptions{}).Work(t.Context(), &Job{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Work() = %v, want one that says the program does not exist", err)
	}
	if err := Exec(nil, ExecOptions{}).Work(t.Context(), &Job{}); err == nil {
		t.Error("Work() of no program = nil, want an error")
	}
}

func TestExec_PayloadFactsAndSecrets(t *testing.T) {
	for name, value := range map[string]string{
		"DATABASE_URL": "secret", "REDIS_URL_FILE": "secret", "ROOKERY_API_KEYS": "secret", "ROOKERY_JOB_OLD": "secret", "ROOKERY_COLOUR": "blue",
	} {
		t.Setenv(name, value)
	}
	var out strings.Builder
	if err := script(t, ExecOptions{Stdout: &out, Env: []string{"MINE=1"}}, "cat; echo; env"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"to":"a@b.c"}`, "ROOKERY_JOB_ID=7", "ROOKERY_JOB_KIND=mail", "ROOKERY_JOB_QUEUE_NAME=q", "ROOKERY_JOB_ATTEMPT_COUNT=1",
		"ROOKERY_JOB_MAX_ATTEMPTS=3", "ROOKERY_JOB_DISPATCH_ID=1007", "ROOKERY_COLOUR=blue", "MINE=1", "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the program did not see %s in %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "secret") {
		t.Errorf("the program sees a secret: %s", out.String())
	}
}

func TestExec_KeepsTheTailOfStderr(t *testing.T) {
	t.Parallel()
	err := script(t, ExecOptions{}, "seq 1 20000 >&2; echo the end >&2; exit 1")
	if text := err.Error(); !strings.HasSuffix(text, "the end") || len(text) > job.MaxErrorText+100 {
		t.Errorf("error has %d bytes and ends %q, want 8 KB with the end", len(text), text[len(text)-20:])
	}
}

// The end of ctx reaches what the program has started, also when all of them ignore
// SIGTERM.
func TestExec_EndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancelCause(t.Context())
	h := Exec([]string{"sh", "-c", `trap "" TERM; sh -c 'trap "" TERM; echo $$ > ` + pids + `.tmp && mv ` + pids + `.tmp ` + pids + `; while :; do sleep 0.05; done' & wait; wait; wait`},
		ExecOptions{Grace: 200 * time.Millisecond})
	done := make(chan error, 1) // one: read once
	go func() { done <- h.Work(ctx, &Job{}) }()
	grandchild := awaitPID(t, pids)
	cancel(job.ErrCancelled)
	if err := <-done; !errors.Is(err, job.ErrCancelled) {
		t.Errorf("Work() = %v, want one that wraps the cause", err)
	}
	for deadline := time.Now().Add(2 * time.Minute); alive(grandchild); {
		if time.Now().After(deadline) {
			t.Fatal("what the program started lives on")
		}
		pause(t.Context(), 10*time.Millisecond)
	}
}

func awaitPID(t *testing.T, path string) int {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); pause(t.Context(), 10*time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the program did not start")
	return 0
}

// alive reports whether pid runs; a zombie nobody has waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
