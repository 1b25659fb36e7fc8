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

// A conflict has claims pass by what is locked. One that fails on a value all the same is
// made smaller, and names its job, without waiting until that is over.
func TestSuspect_OddJobAfterAConflict(t *testing.T) {
	t.Parallel()
	r, q := &Relay{store: headed{}}, newQueue(job.Queue{Name: "q"}, time.Now())
	fail := func(err error) {
		t.Helper()
		if again, err := r.claimFailed(t.Context(), q, q.claims.limit, nil, err); !again || err != nil {
			t.Fatalf("claimFailed of %d = %t, %v, want the next claim to be made at once", q.claims.limit, again, err)
		}
	}
	fail(job.ErrConflict)
	for q.claims.limit > 1 {
		if alone, err := r.suspect(t.Context(), q, job.MaxPriority); alone != nil || err != nil {
			t.Fatalf("suspect before a claim of %d = %v, %v, want nobody", q.claims.limit, alone, err)
		}
		fail(&job.DataError{SQLState: "22003"})
	}
	if alone, err := r.suspect(t.Context(), q, job.MaxPriority); alone == nil || *alone != (head{100, 7}) || err != nil {
		t.Errorf("suspect before a claim of one = %v, %v, want job 7", alone, err)
	}
}
