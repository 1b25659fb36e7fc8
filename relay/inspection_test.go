package relay_test

import (
	"context"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

func (q *fakeQueue) absent(refs []job.Ref) (out []job.Ref) {
	for _, r := range refs {
		_, leased := q.leases[r]
		_, lost := q.lost[r]
		if !leased && !lost {
			out = append(out, r)
		}
	}
	return out
}

func (f *fakeWindow) Absent(_ context.Context, queue string, epoch int64, refs []job.Ref) ([]job.Ref, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return nil, 0, err
	}
	return q.absent(refs), q.releases, nil
}

// fakeStretch is small, so that a test sees several.
const fakeStretch = 2

func (f *fakeWindow) Waiting(_ context.Context, queue string, epoch int64, band job.Band, from int) (out []job.Ref, next int, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return nil, 0, err
	}
	list := slices.Clone(q.bands[band])
	slices.Reverse(list) // the places are counted from the end that pushes fill
	list = list[min(from, len(list)):]
	if len(list) >= fakeStretch {
		list, next = list[:fakeStretch], from+fakeStretch
	}
	for _, e := range list {
		out = append(out, e.Ref())
	}
	return out, next, nil
}

func (f *fakeWindow) Entomb(_ context.Context, queue string, epoch int64, refs []job.Ref) ([]job.Ref, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return nil, err
	}
	entombed := q.absent(refs)
	for _, r := range entombed {
		q.cancelled[r] = true
	}
	return entombed, nil
}

func (f *fakeWindow) Noted(_ context.Context, queue string, epoch, upTo int64, cursor uint64) (out []int64, next uint64, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, err := f.guardLocked(queue, epoch)
	if err != nil {
		return nil, 0, err
	}
	for id, seq := range q.batches {
		if seq <= upTo {
			out = append(out, id)
		}
	}
	return out, 0, nil
}

// waiting reads a band to its end.
func (c *conformance) waiting(band job.Band) (ids []int64) {
	c.Helper()
	for from := 0; ; {
		refs, next, err := c.w.Waiting(c.Context(), "q", 3, band, from)
		if err != nil {
			c.Fatalf("Waiting(from %d) = %v", from, err)
		}
		for _, r := range refs {
			ids = append(ids, r.ID)
		}
		if from = next; next == 0 {
			return ids
		}
	}
}

// inspects stands where 3 is leased, and nothing waits or is lost.
func (c *conformance) inspects() {
	soon := time.Now().Add(time.Minute).UnixMilli()
	if _, err := c.push(13, 3, soon, 2, job.Envelope{ID: 31, Priority: 100}, job.Envelope{ID: 32, Priority: 100}, job.Envelope{ID: 33, Priority: 100}, job.Envelope{ID: 34, Priority: 200}); err != nil {
		c.Fatalf("push = %v", err)
	}
	if diff := cmp.Diff([]int64{33, 32, 31}, c.waiting(job.Normal)); diff != "" {
		c.Errorf("waiting, from the end that pushes fill (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{34}, c.waiting(job.Low)); diff != "" {
		c.Errorf("waiting in low (-want +got):\n%s", diff)
	}
	held, waits, nobodys, older := job.Ref{ID: 3, DispatchID: 10}, job.Ref{ID: 31, DispatchID: 13}, job.Ref{ID: 77, DispatchID: 7}, job.Ref{ID: 3, DispatchID: 9}
	lost := job.Ref{ID: 78, DispatchID: 7}
	if _, err := c.w.Missing(c.Context(), "q", 3, []job.Ref{lost}); err != nil {
		c.Fatalf("Missing = %v", err)
	}
	absent, _, err := c.w.Absent(c.Context(), "q", 3, []job.Ref{held, waits, lost, nobodys, older})
	if diff := cmp.Diff([]job.Ref{waits, nobodys, older}, absent); diff != "" || err != nil {
		c.Errorf("Absent, %v (-want +got):\n%s", err, diff)
	}
	entombed, err := c.w.Entomb(c.Context(), "q", 3, []job.Ref{held, lost, waits})
	if diff := cmp.Diff([]job.Ref{waits}, entombed); diff != "" || err != nil {
		c.Errorf("Entomb, %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]int64{32, 33, 34}, c.take(10, time.Minute)); diff != "" {
		c.Errorf("taken, without what was called off (-want +got):\n%s", diff)
	}
	ids, next, err := c.w.Noted(c.Context(), "q", 3, 2, 0)
	if diff := cmp.Diff([]int64{11}, ids); diff != "" || next != 0 || err != nil {
		c.Errorf("Noted up to 2, %d, %v (-want +got):\n%s", next, err, diff)
	}
	_, _, err = c.w.Absent(c.Context(), "q", 2, []job.Ref{held})
	c.is("Absent in an ended epoch", err, job.ErrStale)
	_, _, err = c.w.Waiting(c.Context(), "q", 2, job.High, 0)
	c.is("Waiting in an ended epoch", err, job.ErrStale)
	_, err = c.w.Entomb(c.Context(), "q", 2, []job.Ref{nobodys})
	c.is("Entomb in an ended epoch", err, job.ErrStale)
	_, _, err = c.w.Noted(c.Context(), "q", 2, 2, 0)
	c.is("Noted in an ended epoch", err, job.ErrStale)
	if err := c.w.Drop(c.Context(), "q", 3, []job.Ref{lost, {ID: 32, DispatchID: 13}, {ID: 33, DispatchID: 13}, {ID: 34, DispatchID: 13}}); err != nil {
		c.Errorf("Drop = %v", err)
	}
}
