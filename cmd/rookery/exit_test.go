package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/penguinmails/rookery/job"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	wrapped := func(err error) error { return fmt.Errorf("job 7: %w", err) }
	for _, tt := range []struct {
		err  error
		want int
	}{
		{errors.New("other"), 1},
		{&usageError{errors.New("no")}, 2},
		{flagError(&job.FieldError{Field: "queue_name", Problem: "is odd"}), 2},
		{wrapped(job.ErrNotFound), 3},
		{notFoundError("no queue"), 3},
		{&stateError{"over"}, 4},
		{wrapped(job.ErrConflict), 4},
		{wrapped(job.ErrDenied), 5},
		{wrapped(job.ErrUnavailable), 6},
		{errors.Join(&stateError{"over"}, wrapped(job.ErrNotFound)), 3},
		{errors.Join(wrapped(job.ErrNotFound), wrapped(job.ErrUnavailable)), 6},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("exitCode(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}
