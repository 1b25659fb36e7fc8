package e2e

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// programs is the folder of the binaries under test. Every test needs it, and only
// TestMain can make it.
var programs string

// lifeline closes when this process ends; kept here, no garbage collector does it
// earlier.
var lifeline io.Closer

// Most tests wait for leases to end, not for the processor: more of them at once
// than there are processors.
const parallel = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	err := flag.Set("test.parallel", parallel)
	if err == nil {
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	devtest.Main(m)
}

// build makes rookery and the tests' worker, with the race detector if the tests
// have it.
func build() error {
	dir, err := os.MkdirTemp("", "rookery-e2e-")
	if err != nil {
		return err
	}
	programs = dir
	if err := removeAtTheEnd(dir); err != nil {
		return err
	}
	args := []string{"build", "-o", dir + "/"}
	if raced {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../../cmd/rookery", "./worker")...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the programs: %w", err)
	}
	return nil
}

// removeAtTheEnd has a shell wait for this process to end, however it does, and
// remove dir: devtest.Main exits, and go test kills tests that take too long.
func removeAtTheEnd(dir string) error {
	cmd := exec.Command("/bin/sh", "-c", `read -r never; rm -rf "$1"`, "sh", dir)
	var err error
	if lifeline, err = cmd.StdinPipe(); err != nil {
		return err
	}
	return cmd.Start()
}

func program(name string) string { return filepath.Join(programs, name) }

// slow skips a test when only the quick ones are wanted.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long; run without -short")
	}
}
