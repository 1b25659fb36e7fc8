package workers

import "runtime"

func goexit() { runtime.Goexit() }
