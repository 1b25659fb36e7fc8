//go:build unix && !linux

package workers

import "syscall"

// ownGroup makes the program lead a group of its own. Nothing here ends it with
// this process.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
