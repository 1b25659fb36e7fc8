// Package model is the protocol on paper: an exhaustive search through everything that
// can happen to one or two jobs between Postgres, Redis, two relays and two workers,
// while faults strike at every step. docs/protocol.md explains the protocol; the code
// is in relay, workers, internal/redisq and queries.
//
//	state.go     what there is: the ledger, leases, attempts, what each process believes
//	rules.go     the rules, each of which a search can leave out
//	explorer.go  scenarios, faults, and the list of what each process may do next
//
//	dispatch.go  D1, D2, D3          take.go    take, its token, release
//	recover.go   rebuild, sweep      run.go     start, outcomes, reconcile, ack
//	epoch.go     a new epoch, open   lease.go   beat, announce, verify, the 13 s
//	reap.go      expired … drop      hold.go    hold, renew, direct claims
//	away.go      without Redis       operator.go  cancel, redrive, cancel orders
//	audit.go     the belt            adopt.go   a client comes to another worker
//	clock.go     half a lease passes  faults.go  what breaks
//
//	invariants.go  the promises, G2 to G5; window.go has G6
//	search.go      breadth first, traces, and what can never end
//	tidy.go        equal states get equal names
//
// A step is one statement, one script, or one decision. Scripts and statements are
// atomic, as they are in the servers. Time is counted in half-leases (7.5 s): a lease
// ends at the second, a push is late after the first, and half a lease passes only when no
// prompt process has anything left to do that it does every 5 s. Relays are never
// prompt: time may pass between any two of their steps, so a frozen relay is no fault.
//
// Liveness is a question about the whole space: from every state all jobs can become
// terminal, without further faults, without healing, without people.
//
// What is left out: payloads, priorities, bands, windows that are full (window.go
// counts them apart), the gate, pausing, spooled jobs, and belts that the code has on
// top (seq, the count of releases between two looks of the audit).
package model
