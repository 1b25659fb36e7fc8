//go:build !linux

package devstack

import "syscall"

// attributes cannot tie the child's life to ours here: a server outlives a program
// that is killed.
func attributes(a *account, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: a.credential(), Setpgid: true}
}
