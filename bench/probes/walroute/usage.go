package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// usage is what one phase used.
type usage struct {
	cpu map[string]time.Duration // by kind of process, and "go": this program
	wal float64                  // bytes
}

func (u usage) postgres() time.Duration {
	var sum time.Duration
	for kind, d := range u.cpu {
		if kind != "go" {
			sum += d
		}
	}
	return sum
}

// used measures do, and what the stream has still to read after it.
func (s *server) used(ctx context.Context, do func() error) (u usage, err error) {
	before, walBefore := processes(s.pg.PID()), 0.0
	if err := s.look.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn() - '0/0'`).Scan(&walBefore); err != nil {
		return u, fmt.Errorf("read WAL position: %w", err)
	}
	own := self()
	if err := do(); err != nil {
		return u, err
	}
	if s.router != nil {
		if err := s.router.caughtUp(ctx); err != nil {
			return u, err
		}
	}
	u.cpu = map[string]time.Duration{"go": self() - own}
	after := processes(s.pg.PID())
	if err := s.look.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn() - '0/0'`).Scan(&u.wal); err != nil {
		return u, fmt.Errorf("read WAL position: %w", err)
	}
	u.wal -= walBefore
	kinds, err := s.kinds(ctx)
	for pid, d := range after {
		u.cpu[kinds[pid]] += d - before[pid]
	}
	return u, err
}

// kinds says what the server's processes are for. Those it does not name are the
// postmaster's other helpers: "".
func (s *server) kinds(ctx context.Context) (map[int]string, error) {
	rows, err := s.look.Query(ctx, `SELECT pid, CASE backend_type WHEN 'client backend' THEN application_name WHEN 'walsender' THEN 'walsender' ELSE '' END FROM pg_stat_activity`)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	out := map[int]string{}
	var pid int
	var kind string
	_, err = pgx.ForEachRow(rows, []any{&pid, &kind}, func() error {
		if kind == "look" {
			kind = ""
		}
		out[pid] = kind
		return nil
	})
	return out, err
}

// processes returns the CPU time of a postmaster and its children, by process id.
func processes(postmaster int) map[int]time.Duration {
	out := map[int]time.Duration{postmaster: onCPU(postmaster)}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(postmaster) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			out[pid] = onCPU(pid)
		}
	}
	return out
}

// onCPU is exact to the nanosecond where /proc/PID/stat counts ticks of 10 ms.
func onCPU(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	first, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseInt(first, 10, 64)
	return time.Duration(n)
}

// self is this program's CPU time.
func self() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // it knows no error for SELF
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
