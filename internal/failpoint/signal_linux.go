package failpoint

import (
	"os"
	"syscall"
)

// raise signals this very thread: it goes no further, whatever the others do. A
// process may always signal itself.
func raise(signal syscall.Signal) { _ = syscall.Tgkill(os.Getpid(), syscall.Gettid(), signal) }
