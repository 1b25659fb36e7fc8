package devstack

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestSweep_TakesOnlyWhatNobodyUses(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	if err := os.Chmod(os.TempDir(), 0o777); err != nil {
		t.Fatal(err)
	}
	const prefix = "rookery-pg-"
	used, err := openFolder("", prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * sweepAge)
	folder := func(name string, pid int, lock, aged bool) string {
		path := filepath.Join(os.TempDir(), prefix+name)
		if err := os.MkdirAll(filepath.Join(path, "data"), 0o755); err != nil {
			t.Fatal(err)
		}
		if pid != 0 {
			write(t, filepath.Join(path, "data", "postmaster.pid"), strconv.Itoa(pid)+"\n/data\n")
		}
		if lock {
			write(t, filepath.Join(path, "lock"), "")
		}
		if aged {
			age(t, filepath.Join(path, "lock"), old)
			age(t, path, old)
		}
		return path
	}
	const deadPID = 1 << 30 // above any pid_max
	age(t, used.join("lock"), old)
	for path, swept := range map[string]bool{
		folder("dead", deadPID, true, true):             true,
		folder("nothing", 0, true, true):                true,
		folder("unlocked", 0, false, true):              true,
		folder("server lives", os.Getpid(), true, true): false,
		folder("young", deadPID, true, false):           false,
		folder("just made", 0, false, false):            false,
		used.path:                                       false,
	} {
		defer func() {
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) != swept {
				t.Errorf("%s: swept = %v, want %v", filepath.Base(path), !swept, swept)
			}
		}()
	}
	sweep(prefix)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func age(t *testing.T, path string, when time.Time) {
	t.Helper()
	if err := os.Chtimes(path, when, when); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
