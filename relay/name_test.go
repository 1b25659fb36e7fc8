package relay

import (
	"context"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// headed is a store whose queues begin with job 7.
type headed struct{ Store }

func (headed) Head(context.Context, string, int16) (int16, int64, error) { return 100, 7, nil }

// A conflict has claims pass by what is locked, and then none of them names its job. One
// that fails on a value all the same must not wait until that is over.
func TestSuspect_OddJobAfterAConflict(t *testing.T) {
	t.Parallel()
	r, q := &Relay{store: headed{}}, newQueue(job.Queue{Name: "q"}, time.Now())
	fail := func(err error) {
		t.Helper()
		if _, err := r.claimFailed(t.Context(), q, q.limit, job.MaxPriority, nil, err); err != nil {
			t.Fatal(err)
		}
	}
	fail(job.ErrConflict)
	for q.limit > 1 {
		fail(&job.DataError{SQLState: "22003"})
	}
	if alone, err := r.suspect(t.Context(), q, job.MaxPriority); alone != nil || err != nil {
		t.Fatalf("suspect while claims pass by what is locked = %v, %v, want nobody", alone, err)
	}
	fail(&job.DataError{SQLState: "22003"})
	if alone, err := r.suspect(t.Context(), q, job.MaxPriority); alone == nil || *alone != (head{100, 7}) || err != nil {
		t.Errorf("suspect after a claim of one has failed = %v, %v, want job 7", alone, err)
	}
}
