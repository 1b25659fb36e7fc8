package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/internal/devstack"
)

// house is a private Postgres and Redis, and the processes of the program.
type house struct {
	program string
	pg      *devstack.Postgres
	redis   *devstack.Redis
	pool    *pgxpool.Pool
	url     string
	child   map[string]*exec.Cmd
}

func newHouse(ctx context.Context, program string) (h *house, err error) {
	h = &house{program: program, child: map[string]*exec.Cmd{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	settings := map[string]string{"shared_buffers": "512MB", "max_wal_size": "4GB"}
	if h.pg, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Durable: true, Settings: settings}); err != nil {
		return h, err
	}
	if h.redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{AOF: true}); err != nil {
		return h, err
	}
	h.url = h.pg.URL("postgres")
	migrate := exec.CommandContext(ctx, program, "migrate", "up")
	migrate.Env = h.env()
	if out, err := migrate.CombinedOutput(); err != nil {
		return h, fmt.Errorf("migrate: %w: %s", err, out)
	}
	h.pool, err = pgxpool.New(ctx, h.url)
	return h, err
}

func (h *house) env() []string {
	return append(os.Environ(), "DATABASE_URL="+h.url, "REDIS_URL="+h.redis.URL(), "ROOKERY_LOG_LEVEL=warn")
}

// start runs a process of the program until the house is closed.
func (h *house) start(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, h.program, args...)
	cmd.Env, cmd.Stderr = h.env(), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	h.child[args[0]] = cmd
	return cmd.Start()
}

// insert copies jobs of 120 bytes in transactions of size each.
func (h *house) insert(ctx context.Context, jobs, size int) error {
	payload := `{"to": "someone@example.com", "subject": "` + strings.Repeat("x", 70) + `", "n": %d}`
	for from := 0; from < jobs; from += size {
		rows := pgx.CopyFromSlice(min(size, jobs-from), func(i int) ([]any, error) {
			return []any{"bench", fmt.Sprintf(payload, from+i)}, nil
		})
		if _, err := h.pool.CopyFrom(ctx, pgx.Identifier{"outbox", "jobs"}, []string{"queue_name", "payload"}, rows); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
	}
	return nil
}

// used returns the CPU time each process group has used so far.
func (h *house) used() map[string]time.Duration {
	out := map[string]time.Duration{"redis": cpu(h.redis.PID()), "postgres": postgresCPU(h.pg.PID())}
	for name, cmd := range h.child {
		out[name] = cpu(cmd.Process.Pid)
	}
	return out
}

// postgresCPU adds up the postmaster, its children, and the children that have
// ended.
func postgresCPU(pid int) time.Duration {
	sum := cpu(pid) + waited(pid)
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range entries {
		if f := stat(path); len(f) > 3 && f[3] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(f[0])
			sum += cpu(child)
		}
	}
	return sum
}

const tick = time.Second / 100 // USER_HZ, the same on every Linux that matters

func cpu(pid int) time.Duration    { return ticks(pid, 13, 14) }
func waited(pid int) time.Duration { return ticks(pid, 15, 16) }

func ticks(pid int, fields ...int) time.Duration {
	f := stat(fmt.Sprintf("/proc/%d/stat", pid))
	var sum time.Duration
	for _, i := range fields {
		if len(f) > i {
			n, _ := strconv.Atoi(f[i])
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// stat splits /proc/PID/stat (proc(5)), whose second field may hold spaces.
func stat(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	text := string(data)
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return nil
	}
	pid, _, _ := strings.Cut(text, " ")
	return append([]string{pid, ""}, strings.Fields(text[end+1:])...)
}

func (h *house) close() error {
	var errs []error
	for _, cmd := range h.child {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // how it ended does not matter any more
	}
	if h.pool != nil {
		h.pool.Close()
	}
	if h.redis != nil {
		errs = append(errs, h.redis.Stop())
	}
	if h.pg != nil {
		errs = append(errs, h.pg.Stop())
	}
	return errors.Join(errs...)
}
