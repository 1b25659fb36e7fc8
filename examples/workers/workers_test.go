package workers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

const maxLines = 50

// patience bounds every wait. Nothing is concluded from how long one took.
const patience = 3 * time.Minute

// Each example works, fails what is to fail, keeps a job for longer than its lease, and
// when it is told to end leaves nothing to a lease.
func TestExamples_Work(t *testing.T) {
	t.Parallel()
	rookery := build(t)
	devtest.Programs(t, "python3", "node", "bash", "curl", "jq")
	for _, c := range []struct{ file, program string }{
		{"worker.py", "python3"},
		{"worker.mjs", "node"},
		{"worker.sh", "bash"},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			short(t, c.file)
			w := newWorld(t, rookery)
			w.runs(t, c.program, c.file)
		})
	}
}

func (w *world) runs(t *testing.T, program, file string) {
	worker := w.start(t, program, file)
	good := w.insert(t, 3, `{"to": "a@b.c"}`)
	bad := w.insert(t, 1, `{"fail": true}`)
	w.until(t, "the good to be completed", `SELECT count(*) = 3 FROM outbox.jobs WHERE id = ANY ($1) AND status = 'completed'`, good)
	w.until(t, "the bad to be dead", `SELECT count(*) = 1 FROM outbox.jobs WHERE id = ANY ($1) AND status = 'dead' AND last_error LIKE '%told to fail%'`, bad)

	long := w.insert(t, 1, `{"seconds": 14}`) // a lease has 10
	w.until(t, "the long one to be completed", `SELECT count(*) = 1 FROM outbox.jobs WHERE id = ANY ($1) AND status = 'completed' AND attempt_count = 1`, long)

	w.insert(t, 8, `{"seconds": 2}`)
	w.until(t, "a job to run", `SELECT count(*) > 0 FROM outbox.jobs WHERE status = 'running'`)
	if err := worker.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.wait(t); err != nil {
		t.Errorf("%s after SIGTERM ended with %v, want 0; it said:\n%s", file, err, worker.out.String())
	}
	if n := w.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'completed'`); n < 5 || n > 11 {
		t.Errorf("%d jobs were completed by SIGTERM, want the one that ran to be, and not all", n)
	}
	w.start(t, program, file)
	w.until(t, "all to be over", `SELECT count(*) = 12 FROM outbox.jobs WHERE status = 'completed'`)
	if n := w.count(t, `SELECT count(*) FROM outbox.jobs WHERE lost_count > 0 OR failure_count > 0 AND NOT id = ANY ($1)`, bad); n != 0 {
		t.Errorf("%d jobs were lost or failed, want none", n)
	}
	if said := worker.out.String(); !strings.Contains(said, fmt.Sprint("did ", good[0])) {
		t.Errorf("%s said nothing of job %d:\n%s", file, good[0], said)
	}
}

// short holds an example to what its docs say of it.
func short(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n > maxLines {
		t.Errorf("%s has %d lines, want at most %d", file, n, maxLines)
	}
}

func build(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "rookery")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/rookery")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build rookery: %v\n%s", err, out)
	}
	return binary
}

// world is a database, and a server at base.
type world struct {
	pool *pgxpool.Pool
	base string
}

func newWorld(t *testing.T, rookery string) *world {
	t.Helper()
	url := devtest.Postgres(t)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	serve := start(t, []string{"DATABASE_URL=" + url, "REDIS_URL=" + devtest.Redis(t)}, rookery, "serve", "--http", "127.0.0.1:0")
	w := &world{pool: pool}
	devtest.Until(t, patience, "the server to listen", func() (bool, error) {
		_, rest, found := strings.Cut(serve.out.String(), "rookery: listening on ")
		if found {
			w.base = strings.Fields(rest)[0]
		}
		return found, nil
	})
	return w
}

func (w *world) start(t *testing.T, argv ...string) *process {
	t.Helper()
	return start(t, []string{"ROOKERY_URL=" + w.base, "QUEUE=q"}, argv...)
}

func (w *world) insert(t *testing.T, n int, payload string) (ids []int64) {
	t.Helper()
	const sql = `WITH made AS (INSERT INTO outbox.jobs (queue_name, payload, max_attempts) SELECT 'q', $1::jsonb, 1 FROM generate_series(1, $2) RETURNING id) SELECT array_agg(id) FROM made`
	if err := w.pool.QueryRow(t.Context(), sql, payload, n).Scan(&ids); err != nil {
		t.Fatal(err)
	}
	return ids
}

func (w *world) until(t *testing.T, what, sql string, args ...any) {
	t.Helper()
	devtest.Until(t, patience, what, func() (yes bool, err error) {
		err = w.pool.QueryRow(t.Context(), sql, args...).Scan(&yes)
		return yes, err
	})
}

func (w *world) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := w.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// process is a child that ends with its test, and what it has said.
type process struct {
	cmd  *exec.Cmd
	out  output
	done chan error // how it ended
}

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

// String returns what was written so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func start(t *testing.T, env []string, argv ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan error, 1)} //nolint:noctx // ended below
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = &p.out, &p.out, 5*time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { p.done <- p.cmd.Wait(); close(gone) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-gone
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(argv, " "), p.out.String())
		}
	})
	return p
}

func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(patience):
		t.Fatalf("it has not ended; it said:\n%s", p.out.String())
		return nil
	}
}
