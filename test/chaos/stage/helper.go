package stage

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// Helper starts a program that stands by until [Stage.Close], such as a sentinel. It
// is no part of the history; what it says goes to log/<name>.
func (s *Stage) Helper(name string, argv ...string) error {
	log, err := os.OpenFile(filepath.Join(s.Options.Dir, "log", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}, s.Options.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan struct{})
	go func() { // a thread as long as the child lives: Pdeathsig is the thread's
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // nobody asks how it ended
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	s.Own(func() error {
		_ = cmd.Process.Kill() // it may have ended
		<-done
		return nil
	})
	return nil
}
