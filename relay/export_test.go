package relay

import "time"

// FullSince makes the relay believe that Redis has been out of memory since at.
func (r *Relay) FullSince(queue string, at time.Time) {
	q := r.known(queue)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fullAt = at
}
