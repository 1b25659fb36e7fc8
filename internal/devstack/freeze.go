package devstack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// Freeze stops the postmaster and every process it has started (SIGSTOP): a server
// that hangs. It returns when none of them runs. Thaw lets them go on; Restart and
// Stop end a frozen server too, its children by themselves.
func (p *Postgres) Freeze() error {
	pid := p.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // first, so that it starts no more
		return fmt.Errorf("freeze postgres: %w", err)
	}
	if err := signalAll(childrenOf(pid), syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze postgres: %w", err)
	}
	// One that was being started when the postmaster stopped.
	return signalAll(childrenOf(pid), syscall.SIGSTOP)
}

// Thaw lets a frozen server go on.
func (p *Postgres) Thaw() error {
	pid := p.PID()
	return errors.Join(signalAll(childrenOf(pid), syscall.SIGCONT), signalAll([]int{pid}, syscall.SIGCONT))
}

// Processes returns the postmaster's process id and those of its children.
func (p *Postgres) Processes() []int {
	pid := p.PID()
	return append([]int{pid}, childrenOf(pid)...)
}

func signalAll(pids []int, sig syscall.Signal) error {
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("signal process %d: %w", pid, err))
		}
	}
	return errors.Join(errs...)
}

// childrenOf returns the children of a process, as Linux lists them.
func childrenOf(parent int) (children []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name, with anything in it) state ppid …
		name := bytes.LastIndexByte(text, ')')
		fields := bytes.Fields(text[name+1:])
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			children = append(children, pid)
		}
	}
	slices.Sort(children)
	return children
}
