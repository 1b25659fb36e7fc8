package devstack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
)

// StartStandby copies a running cluster with pg_basebackup and starts the copy as its
// hot standby, which streams. It returns when the standby takes connections. As with
// [StartPostgres] ctx bounds the start alone, and Stop ends the server.
func StartStandby(ctx context.Context, primary *Postgres, options PostgresOptions) (*Postgres, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	a, err := serverAccount()
	if err != nil {
		return nil, err
	}
	f, err := openFolder(options.Dir, "rookery-pg-", a)
	if err != nil {
		return nil, fmt.Errorf("start standby: %w", err)
	}
	p := &Postgres{bin: primary.bin, folder: f, options: options}
	if err := run(ctx, f, filepath.Join(p.bin, "pg_basebackup"), "-h", "127.0.0.1", "-p", strconv.Itoa(primary.Port()), "-U", "postgres",
		"-D", p.data(), "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"); err != nil {
		return nil, errors.Join(fmt.Errorf("start standby: %w", err), f.close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.port, err = onFreePort(ctx, options.Port, func(port int) error { return p.launchLocked(ctx, port) }); err != nil {
		return nil, errors.Join(fmt.Errorf("start standby: %w", err), f.close())
	}
	return p, nil
}

// Promote makes a standby a primary, on a new timeline.
func (p *Postgres) Promote(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := run(ctx, p.folder, filepath.Join(p.bin, "pg_ctl"), "promote", "-D", p.data(), "--wait"); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	return nil
}

// Kill ends the postmaster and its children at once (SIGKILL), the frozen ones too:
// the machine is gone.
func (p *Postgres) Kill() error {
	all := p.Processes()
	if err := signalAll(all, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	return nil
}
