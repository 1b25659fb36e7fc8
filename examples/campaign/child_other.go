//go:build !linux

package main

import "syscall"

// attributes gives a child a process group of its own. Only Linux can promise that
// it dies with a demo that is killed.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
