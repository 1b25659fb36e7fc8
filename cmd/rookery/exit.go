package main

import (
	"errors"

	"github.com/penguinmails/rookery/job"
)

// Exit codes. Of several errors, such as those of "jobs cancel 1 2 3", the first in
// this order decides: usage, unreachable, auth, not found, conflict.
const (
	exitFailed      = 1 // the command could not do what it was asked
	exitUsage       = 2 // it was asked wrongly
	exitNotFound    = 3 // there is no such job or queue
	exitConflict    = 4 // the job's status does not allow it, or another transaction is in the way
	exitAuth        = 5 // Postgres does not know the user, or does not let it do this
	exitUnreachable = 6 // Postgres does not answer
)

// exitCode returns the code that err, not nil, ends the program with.
func exitCode(err error) int {
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, job.ErrUnavailable):
		return exitUnreachable
	case errors.Is(err, job.ErrDenied):
		return exitAuth
	case errors.Is(err, job.ErrNotFound):
		return exitNotFound
	case errors.Is(err, job.ErrState), errors.Is(err, job.ErrConflict):
		return exitConflict
	}
	return exitFailed
}
