package workers

import "time"

// This is the place of holding in Postgres (DESIGN.md section 9, "Leases"), which
// comes with the issue "Lose nothing". A worker that last reached Redis 5 s ago, or
// reads in Postgres a newer epoch than its Redis knows, will move its attempts to a
// ledger row with its worker_id and a lease_until, renewed every 5 s. What changes
// then: renewedLocked returns the later of two renewals, an attempt's ref is the
// token it has when its outcome is written, and beat and join leave alone what is
// held here.

// renewedLocked returns when the last call that renewed a's lease was sent. Today
// there is one kind of lease, in Redis.
func (h *held) renewedLocked(a *attempt) time.Time { return a.renewed }
