package devstack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// folder is where one server lives.
type folder struct {
	path      string
	temporary bool
	lock      *os.File
	account   *account
}

// sweepAge is how old a folder must be to be swept: younger ones may belong to a
// process that has not come to locking its own yet.
const sweepAge = time.Minute

// openFolder makes the folder at path, or a temporary one when path is empty, and
// locks it for as long as this process lives.
func openFolder(path, prefix string, a *account) (*folder, error) {
	f := &folder{path: path, account: a, temporary: path == ""}
	if f.temporary {
		sweep(prefix)
		made, err := os.MkdirTemp("", prefix)
		if err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
		f.path = made
	}
	if err := f.prepare(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *folder) prepare() error {
	path, err := filepath.Abs(f.path)
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	f.path = path
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	lock, err := os.OpenFile(f.join("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("lock folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close() // the first error says it all
		return fmt.Errorf("folder %s is in use by another process: %w", path, err)
	}
	f.lock = lock
	if f.temporary {
		if err := os.Chmod(path, 0o755); err != nil { // MkdirTemp keeps others out
			return fmt.Errorf("make folder: %w", err)
		}
	}
	if err := f.account.canEnter(path); err != nil {
		return err
	}
	return f.account.give(path)
}

func (f *folder) join(name string) string { return filepath.Join(f.path, name) }

// close unlocks the folder, and removes it when it is temporary.
func (f *folder) close() error {
	var errs []error
	if f.temporary {
		errs = append(errs, os.RemoveAll(f.path))
	}
	if f.lock != nil {
		errs = append(errs, f.lock.Close())
		f.lock = nil
	}
	return errors.Join(errs...)
}

// logTail returns the last lines the server wrote.
func (f *folder) logTail() string {
	file, err := os.Open(f.join("log"))
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	defer func() { _ = file.Close() }()
	const most = 2000
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, io.SeekEnd); err != nil {
			return "(no log: " + err.Error() + ")"
		}
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	return strings.TrimSpace(string(text))
}

// sweep removes the temporary folders that killed runs have left behind. It does
// what it can and reports nothing: a folder may belong to another user.
func sweep(prefix string) {
	paths, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, path := range paths {
		if abandoned(path) {
			_ = os.RemoveAll(path)
		}
	}
}

// abandoned reports whether the process that made the folder is dead, and so is
// the server in it (which, without Pdeathsig, may outlive it).
func abandoned(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	lock, err := os.Open(filepath.Join(path, "lock"))
	if err != nil {
		return errors.Is(err, os.ErrNotExist) && time.Since(info.ModTime()) > sweepAge
	}
	defer func() { _ = lock.Close() }()
	if made, err := lock.Stat(); err != nil || time.Since(made.ModTime()) < sweepAge {
		return false
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	return !pidAlive(filepath.Join(path, "data", "postmaster.pid")) && !pidAlive(filepath.Join(path, "data", "redis.pid"))
}

// pidAlive reports whether the process named by the first line of file lives.
func pidAlive(file string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return false
	}
	err = syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
