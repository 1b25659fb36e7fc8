package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

func operate(t *testing.T, f *fakeBulk, long time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), long)
	defer stop()
	o := operator{work: f, holder: "me", wake: make(chan struct{}), log: slog.New(slog.DiscardHandler), failpoint: func(string) {}}
	o.run(ctx)
}

// An operation is worked at to its end, across the faults of Postgres.
func TestOperator_GoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := fmt.Errorf("work: %w", job.ErrUnavailable)
		odd := errors.New("odd")
		f := &fakeBulk{left: 3, fails: []error{away, away, away, away, away, away, away, job.ErrConflict, odd, odd}}
		operate(t, f, time.Minute)
		if f.left != 0 || len(f.calls) != 3 || f.why != "" {
			t.Errorf("left %d batches, called %v, failed because %q", f.left, f.calls, f.why)
		}
	})
}

// One that cannot go on fails, and says why without the words of a driver.
func TestOperator_Fails(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"a fault of the server; its log has it": errors.New("password=hunter2"),
		"filter is odd":                         fmt.Errorf("work: %w", &job.FieldError{Field: "filter", Problem: "is odd"}),
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeBulk{left: 3}
			for range operateTries {
				f.fails = append(f.fails, err)
			}
			operate(t, f, time.Minute)
			if f.why != want || strings.Contains(f.why, "hunter2") {
				t.Errorf("it failed because %q, want %q", f.why, want)
			}
		})
	}
}
