//go:build unix

package workers

import (
	"errors"
	"os"
	"syscall"
)

// termGroup asks the process group that pid leads to end.
func termGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGTERM)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// killGroup ends what is left of the group that pid led.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // ESRCH: nothing is left
