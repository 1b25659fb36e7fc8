//go:build !unix

package workers

import (
	"os"
	"syscall"
)

// ownGroup: there are no process groups here.
func ownGroup() *syscall.SysProcAttr { return nil }

func termGroup(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return os.ErrProcessDone
	}
	return p.Kill()
}

func killGroup(int) {}
