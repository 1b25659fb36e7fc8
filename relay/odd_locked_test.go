package relay_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// A job that can never be claimed dies, and its neighbours go on, though somebody holds the
// rows of jobs before and between them locked all the while.
func TestHole01_OddJobBehindLockedOnes(t *testing.T) {
	t.Parallel()
	for name, jobs := range map[string]struct{ locked, odd []int64 }{
		"the head locked, the next odd":       {locked: []int64{1}, odd: []int64{2}},
		"the head odd, the next locked":       {locked: []int64{2}, odd: []int64{1}},
		"by turns":                            {locked: []int64{1, 3, 5}, odd: []int64{2, 4, 6}},
		"the odd one last, behind all others": {locked: []int64{1, 2}, odd: []int64{40}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.insert(t, "q", 40)
			h.exec(t, `UPDATE outbox.jobs SET attempt_count = 2147483647 WHERE id = ANY ($1)`, jobs.odd)
			tx := h.begin(t)
			if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs WHERE id = ANY ($1) FOR UPDATE`, jobs.locked); err != nil {
				t.Fatal(err)
			}
			h.start(t, wiring{})
			locked, odd := int64(len(jobs.locked)), int64(len(jobs.odd))
			h.await(t, 40-locked-odd, "those that are neither locked nor odd", dispatched)
			h.await(t, odd, "the odd ones dead", `SELECT count(*) FROM outbox.jobs WHERE status = 'dead' AND id = ANY ($1)`, jobs.odd)
			if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'queued' AND id = ANY ($1)`, jobs.locked); n != locked {
				t.Errorf("%d of the locked jobs are queued, want all %d", n, locked)
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.await(t, 40-odd, "the locked ones, once they are free", dispatched)
			h.await(t, 0, "recorded", unrecorded)
			h.onceEach(t, "q", int(40-odd))
		})
	}
}

// An odd job that is itself locked is found out when it is free.
func TestHole01_OddJobThatIsLocked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(t, "q", 10)
	h.exec(t, `UPDATE outbox.jobs SET attempt_count = 2147483647 WHERE id = 1`)
	tx := h.begin(t)
	if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs WHERE id = 1 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	h.start(t, wiring{})
	h.await(t, 9, "the others", dispatched)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, 30*time.Second, "the odd job dead", func() (bool, error) {
		return h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'dead' AND id = 1`) == 1, nil
	})
}

// besieged locks the job that a claim has named, before that claim, and frees it after.
type besieged struct {
	*db.Store
	lock func(id int64) (free func() error)
	ids  []int64 // the jobs that were named
}

func (b *besieged) Claim(ctx context.Context, c job.Claim) (job.Batch, error) {
	if c.Spans[0].LoPriority < 0 || len(b.ids) > 0 { // it reads from the beginning
		return b.Store.Claim(ctx, c)
	}
	id := c.Spans[0].LoID + 1
	b.ids = append(b.ids, id)
	free := b.lock(id)
	batch, err := b.Store.Claim(ctx, c)
	return batch, errors.Join(err, free())
}

// A claim that has named its job takes no other: it would fail on the next odd one, and the
// job that it named would die in that one's place.
func TestHole01_NobodyDiesForAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(t, "q", 3)
	h.exec(t, `UPDATE outbox.jobs SET attempt_count = 2147483647 WHERE id = 2`)
	store := &besieged{Store: h.store, lock: func(id int64) (free func() error) {
		tx := h.begin(t)
		_, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE`, id)
		return func() error { return errors.Join(err, tx.Rollback(t.Context())) }
	}}
	_, stop := h.start(t, wiring{store: store})
	h.await(t, 2, "the others dispatched", dispatched)
	h.await(t, 1, "the odd one dead", `SELECT count(*) FROM outbox.jobs WHERE status = 'dead' AND id = 2`)
	stop()
	if len(store.ids) == 0 || store.ids[0] != 1 {
		t.Errorf("jobs named = %v, want 1 first", store.ids)
	}
}
