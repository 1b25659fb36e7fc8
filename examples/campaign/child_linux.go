package main

import "syscall"

// attributes gives a child a process group of its own, which a terminal's Ctrl-C
// does not reach, and lets the kernel kill it when the demo dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
