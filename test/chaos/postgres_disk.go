package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// diskBytes is the size of the small file system that Postgres gets.
const diskBytes = 400 << 20

// postgresDisk fills a small file system of Postgres' own, a tmpfs. Only root may
// mount one.
func postgresDisk() []Fault {
	if os.Geteuid() != 0 {
		return nil
	}
	return []Fault{{
		Name: "postgres-disk-full", Family: "postgres", Long: true,
		Says:    "the file system of Postgres, of 400 MiB, is full for 15 s (it refuses statements, then it crashes for want of WAL and does not start); then there is space, and it is started again if it has ended: nothing is lost or runs again. Back: from there",
		Prepare: smallDisk,
		Inject:  fillDisk,
	}}
}

func dataFolder(s *stage.Stage) string { return filepath.Join(s.Options.Dir, "pg", "data") }

// smallDisk moves the cluster into a tmpfs that is mounted where it was.
func smallDisk(ctx context.Context, s *stage.Stage) error {
	data := dataFolder(s)
	if err := s.PostgresServer().Signal(syscall.SIGINT); err != nil {
		return err
	}
	if err := postgresEnded(ctx, s); err != nil {
		return err
	}
	aside := data + ".aside"
	if err := os.Rename(data, aside); err != nil {
		return err
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskBytes)); err != nil {
		return fmt.Errorf("mount a small file system: %w", err)
	}
	s.Own(func() error { // before the server's own Stop, which then finds it ended
		err := s.PostgresServer().Stop()
		return errors.Join(err, syscall.Unmount(data, 0))
	})
	if out, err := exec.CommandContext(ctx, "cp", "-a", aside+"/.", data).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the cluster: %w\n%s", err, out)
	}
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	return s.PostgresServer().Restart(ctx, "fast")
}

func postgresEnded(ctx context.Context, s *stage.Stage) error {
	return stage.Until(ctx, 20*time.Second, "the end of Postgres", func(context.Context) (bool, error) {
		return errors.Is(s.PostgresServer().Signal(syscall.Signal(0)), os.ErrProcessDone), nil
	})
}

func fillDisk(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
	lift := s.Fault(history.PostgresAway)
	defer lift()
	ballast := filepath.Join(dataFolder(s), "ballast")
	if err := fill(ballast); err != nil {
		return err
	}
	// What the server frees by itself is filled again. First it cannot extend a table and
	// refuses statements; then it cannot begin a segment of its WAL, and crashes.
	start := time.Now()
	for time.Since(start) < 15*time.Second {
		if err := stage.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		if time.Since(start) > 8*time.Second {
			switching, cancel := context.WithTimeout(ctx, time.Second)
			_, _ = s.Admin().Exec(switching, `SELECT pg_switch_wal()`) // it is to fail
			cancel()
		}
		if err := fill(ballast); err != nil {
			return err
		}
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if err := stage.Sleep(ctx, time.Second); err != nil {
		return err
	}
	if errors.Is(s.PostgresServer().Signal(syscall.Signal(0)), os.ErrProcessDone) {
		return s.PostgresServer().Restart(ctx, "fast")
	}
	return nil
}

// fill appends to a file until there is no space.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return nil
		}
		return err
	}
	for size := 1 << 20; size >= 1; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 16
		} else if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}
