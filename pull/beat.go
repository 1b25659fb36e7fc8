package pull

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/penguinmails/rookery/job"
)

// adoptMost is how many leases of one heartbeat are adopted at once.
const adoptMost = 16

// Beat extends leases, each by the time it was asked for, and says which of them are
// over, and whether the client, who is only known for people to see, is to lease no more. What could be neither extended nor called over is in Elsewhere. The error is that
// of Postgres, when the tokens cannot be read without it.
func (h *Hub) Beat(ctx context.Context, by job.Caller, leases []job.LeaseKey) (job.LeaseReport, error) {
	known := false // by a lease, whoever it was given to
	told := make([]error, len(leases))
	var adopting sync.WaitGroup
	defer adopting.Wait()
	places := make(chan struct{}, adoptMost)
	trying, cancel := context.WithTimeout(ctx, adoptTime) // for all of them
	defer cancel()
	for i, k := range leases {
		ours, err := h.keys.opens(ctx, k)
		if err != nil {
			return job.LeaseReport{}, fmt.Errorf("beat leases: %w", err)
		}
		name, err := job.ParseLeaseID(k.ID)
		if err != nil || !ours {
			told[i] = job.ErrLeaseLost
			continue
		}
		known = true
		if _, told[i] = h.extendHere(name, 0); !errors.Is(told[i], job.ErrLeaseElsewhere) {
			continue
		}
		select {
		case places <- struct{}{}:
		case <-trying.Done():
			continue // it stays elsewhere
		}
		adopting.Go(func() {
			_, told[i] = h.adopt(trying, name, 0, by.WorkerID)
			<-places
		})
	}
	adopting.Wait()
	r := job.LeaseReport{Quiet: h.hear(by, "", known), Cancelled: []string{}, Lost: []string{}, Elsewhere: []string{}}
	for i, err := range told {
		id := leases[i].ID
		switch {
		case err == nil:
		case errors.Is(err, job.ErrCancelled):
			r.Cancelled = append(r.Cancelled, id)
		case !errors.Is(err, job.ErrLeaseLost):
			r.Elsewhere = append(r.Elsewhere, id)
		case !h.endingHere(leases[i]):
			r.Lost = append(r.Lost, id)
		}
	}
	return r, nil
}

// endingHere reports whether a lease's client is ending it at this moment: then it is in
// no list.
func (h *Hub) endingHere(k job.LeaseKey) bool {
	name, err := job.ParseLeaseID(k.ID)
	if err != nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.leases[name.Ref]
	return l != nil && l.verb != "" && l.end == ""
}
