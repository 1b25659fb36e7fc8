package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Install installs the servers that are missing, with apt, and does nothing when
// none is. It writes what apt says to out. Any number of processes may call it at
// once: one installs, the others wait. The error is a [*MissingError], which holds
// the command to type, for everybody but root on a machine with apt.
func Install(ctx context.Context, out io.Writer) error {
	return installMissing(ctx, out, func() error {
		_, err := Find(ctx)
		return err
	})
}

// installMissing installs what find misses, unless it misses nothing.
func installMissing(ctx context.Context, out io.Writer, find func() error) error {
	if err := find(); !isMissing(err) {
		return err
	}
	unlock, err := lockInstall(ctx)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	defer unlock()
	err = find() // another process may have been first
	var missing *MissingError
	if !errors.As(err, &missing) {
		return err
	}
	apt, lookErr := exec.LookPath("apt-get")
	if os.Geteuid() != 0 || lookErr != nil {
		return missing
	}
	if err := aptInstall(ctx, out, apt, "/usr/sbin/policy-rc.d", missing.Packages); err != nil {
		return fmt.Errorf("%w; install it by hand: %s", err, missing.Command())
	}
	return find()
}

// aptInstall installs packages. The servers they bring must not be started: they
// would sit on the ports 5432 and 6379 without anybody's having asked. Debian's
// way to say so is a script at policy that answers 101 ("forbidden").
func aptInstall(ctx context.Context, out io.Writer, apt, policy string, packages []string) error {
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	switch {
	case err == nil:
		_, err = file.WriteString("#!/bin/sh\nexit 101\n")
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("write %s: %w", policy, err)
		}
		defer func() { _ = os.Remove(policy) }()
	case !errors.Is(err, os.ErrExist): // one that exists is the administrator's own
		return fmt.Errorf("write %s: %w", policy, err)
	}
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = out, out
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // killed, dpkg needs a repair
		cmd.WaitDelay = time.Minute
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s %v: %w", apt, args, err)
		}
		return nil
	}
	// One broken source fails the whole update although the others are fine, so only
	// the installation decides.
	updated := run("-q", "update")
	args := []string{"-q", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold"}
	if err := run(append(args, packages...)...); err != nil {
		return errors.Join(err, updated)
	}
	return nil
}

// lockInstall waits until no other process installs.
func lockInstall(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("rookery-install-%d.lock", os.Geteuid()))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), file.Close())
		}
	}
}
