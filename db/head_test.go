package db_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// Head names the job that a claim of one would take: not one that somebody has locked, nor
// one that another relay is about to take.
func TestHead_PassesByWhatIsLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := w.insert(4)
	locker := w.begun()
	w.in(locker, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE", all[0])
	w.in(locker, "SELECT FROM outbox.ready WHERE job_id = $1 FOR UPDATE", all[1])
	if _, id, err := w.Head(t.Context(), queue, job.MaxPriority); err != nil || id != all[2] {
		t.Errorf("Head, the first two locked = %d, %v, want %d", id, err, all[2])
	}
	w.in(locker, "SELECT FROM outbox.jobs WHERE id = ANY ($1) FOR NO KEY UPDATE", all[2:])
	if _, id, err := w.Head(t.Context(), queue, job.MaxPriority); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("Head, all locked = %d, %v, want %v", id, err, job.ErrNotFound)
	}
	if err := locker.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, id, err := w.Head(t.Context(), queue, job.MaxPriority); err != nil || id != all[0] {
		t.Errorf("Head once they are free = %d, %v, want %d", id, err, all[0])
	}
}

// A span may be a single job: then a claim takes that or none.
func TestClaim_OneByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := w.insert(3)
	other := w.urgent(job.DefaultPriority + 1)
	c := order(500)
	c.Spans = []job.Span{{LoPriority: job.DefaultPriority, LoID: all[1] - 1, HiPriority: job.DefaultPriority, HiID: all[1]}}
	for _, want := range [][]int64{{all[1]}, nil} {
		c.DispatchID++
		if b, err := w.Claim(t.Context(), c); err != nil || !cmp.Equal(ids(b), want) {
			t.Errorf("Claim of job %d = %s, %v, want %v", all[1], idsOf(b), err, want)
		}
	}
	if got, want := ids(w.claim(500)), []int64{all[0], all[2], other}; !cmp.Equal(got, want) {
		t.Errorf("Claim of the rest = %v, want %v", got, want)
	}
}
