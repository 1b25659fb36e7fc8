package devstack

import "syscall"

// attributes makes the kernel send the child death when the thread that starts it
// ends; see [start] for whose thread that is. A process group of its own keeps a
// terminal's Ctrl-C from reaching the servers before the program has used them for
// the last time.
func attributes(a *account, death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: a.credential(), Setpgid: true, Pdeathsig: death}
}
