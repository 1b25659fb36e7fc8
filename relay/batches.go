package relay

import (
	"time"

	"github.com/penguinmails/rookery/job"
)

// batches are those of the present epoch that a relay has still something to do with:
//
//	claimed ──▶ pushed ──▶ recorded ──a minute──▶ forgotten by Redis
//	    └─▶ unpushed: another relay, or this one, takes it over
type batches struct {
	unpushed map[int64]unpushed // of ours, that Redis has not accepted
	pushed   []job.Recorded     // accepted by Redis, not yet recorded in the ledger
	pushedAt time.Time          // when the first of them was accepted
	old      []oldBatch         // recorded; Redis may forget them a minute later
	mark     mark               // for notes of batches that other relays have left behind
}

type unpushed struct {
	jobs int
	at   time.Time
}

type oldBatch struct {
	id int64
	at time.Time
}

const (
	recordAfter = 50 * time.Millisecond // how long D3 may wait for the next D1
	forgetAfter = time.Minute           // by then every push of the batch is late
	unpushedAge = 10 * time.Second      // by then a batch was taken over: by us, who note it anew, or by one of the others
)

func newBatches() batches { return batches{unpushed: map[int64]unpushed{}} }

// refused notes a batch that Redis has not accepted.
func (b *batches) refused(id int64, jobs int, now time.Time) {
	b.unpushed[id] = unpushed{jobs: jobs, at: now}
}

// jobsUnpushed counts the jobs that may still come into the window, and forgets the
// batches that have been taken over.
func (b *batches) jobsUnpushed(now time.Time) (jobs int64) {
	for id, u := range b.unpushed {
		if now.Sub(u.at) > unpushedAge {
			delete(b.unpushed, id)
			continue
		}
		jobs += int64(u.jobs)
	}
	return jobs
}

// accepted notes a batch that Redis has accepted.
func (b *batches) accepted(id, seq int64, now time.Time) {
	delete(b.unpushed, id)
	if len(b.pushed) == 0 {
		b.pushedAt = now
	}
	b.pushed = append(b.pushed, job.Recorded{DispatchID: id, Seq: seq})
}

// recordAt says when what is pushed should be recorded at the latest.
func (b *batches) recordAt() (at time.Time, some bool) {
	return b.pushedAt.Add(recordAfter), len(b.pushed) > 0
}

// takePushed hands over what is to be recorded: recorded says that it was, putBack that
// it was not.
func (b *batches) takePushed() []job.Recorded {
	pushed := b.pushed
	b.pushed = nil
	return pushed
}

func (b *batches) putBack(pushed []job.Recorded) { b.pushed = append(pushed, b.pushed...) }

func (b *batches) recorded(pushed []job.Recorded, now time.Time) {
	for _, p := range pushed {
		b.old = append(b.old, oldBatch{id: p.DispatchID, at: now})
	}
}

// recordedAnew notes batches as recorded now, except those that are noted already.
func (b *batches) recordedAnew(ids []int64, now time.Time) {
	known := make(map[int64]bool, len(b.old))
	for _, o := range b.old {
		known[o.id] = true
	}
	for _, id := range ids {
		if !known[id] {
			b.old = append(b.old, oldBatch{id: id, at: now})
		}
	}
}

// forgettable names up to a batch of ledger rows that Redis may forget.
func (b *batches) forgettable(now time.Time) []int64 {
	var ids []int64
	for _, o := range b.old {
		if now.Sub(o.at) < forgetAfter || len(ids) == job.MaxBatch {
			break
		}
		ids = append(ids, o.id)
	}
	return ids
}

// forgotten notes that Redis has forgotten ids. Another call, under way at the same time,
// may have named and forgotten some of them too.
func (b *batches) forgotten(ids []int64) {
	for _, id := range ids {
		if len(b.old) > 0 && b.old[0].id == id {
			b.old = b.old[1:]
		}
	}
}
