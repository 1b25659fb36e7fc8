// Package failpoint lets a test kill a real process at a named point. A process
// whose environment has ROOKERY_FAILPOINT=name kills itself with SIGKILL when it
// first reaches that point, and name:3 when it reaches it for the third time, so
// that nothing is flushed, closed or said goodbye to. name:3:stop freezes it there
// with SIGSTOP instead, until somebody sends SIGCONT. It owns the names' one
// meaning and leaves it to relay and workers where the points lie.
package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Env is the environment variable that names the point.
const Env = "ROOKERY_FAILPOINT"

// FromEnv returns the function to call at each point, nil when no point is named.
// The error is about the variable's form.
func FromEnv() (func(name string), error) {
	spec := os.Getenv(Env)
	if spec == "" {
		return nil, nil
	}
	signal := syscall.SIGKILL
	named, stops := strings.CutSuffix(spec, ":stop")
	if stops {
		signal = syscall.SIGSTOP
	}
	wanted, nth, counted := strings.Cut(named, ":")
	n := 1
	if counted {
		var err error
		if n, err = strconv.Atoi(nth); err != nil || n < 1 {
			return nil, fmt.Errorf("%s is %q, must be a name, or a name and a count such as relay.after_claim:3", Env, spec)
		}
	}
	var left atomic.Int64
	left.Store(int64(n))
	return func(name string) {
		if name == wanted && left.Add(-1) == 0 {
			raise(signal)
			if !stops {
				select {} // until the signal arrives
			}
		}
	}, nil
}
