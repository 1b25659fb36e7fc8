package db

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Pinned returns the pool whose plans are pinned: tests look at its sessions.
func (s *Store) Pinned() *pgxpool.Pool { return s.pool }

// Patient makes options of a Store that waits for locks, and for answers, as long as d.
func Patient(o Options, d time.Duration) Options {
	o.patience = d
	return o
}

// LimitCalls sets the limit of every call, while none is under way.
func (s *Store) LimitCalls(d time.Duration) { s.limit = d }

// WaitForLocks sets how m waits for locks, before the first call.
func (m *Migrator) WaitForLocks(lock, pause time.Duration, tries int) {
	m.patience = patience{lock, pause, tries}
}

// Widen is widen.
func Widen(near uint64, xid uint32) uint64 { return widen(near, xid) }

// NextSlice is nextSlice.
func NextSlice(slice, looked, shown, want int) int { return nextSlice(slice, looked, shown, want) }

// PrunedCallbacks has outbox.callbacks pruned last so long from now; negative: ago.
func (s *Store) PrunedCallbacks(d time.Duration) {
	s.pruned.mu.Lock()
	defer s.pruned.mu.Unlock()
	s.pruned.at = time.Now().Add(d)
}
