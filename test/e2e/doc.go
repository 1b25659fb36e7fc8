// Package e2e tries to break the whole of Rookery from outside: real processes of
// the real binary, on a Postgres and a Redis of the test's own, killed with real
// signals at points that a failpoint names or that chance picks.
//
//	producers ──▶ Postgres ──▶ rookery relay ──▶ Redis ──▶ worker ──▶ history file
//	   │             │                                                    │
//	   └─ committed, └─ status, attempts, ledger                          │
//	      rolled back       └───────────────▶ check ◀─────────────────────┘
//
// A system cannot vouch for itself, so the workers append what they begin and end
// to a file, and [check] in verify_test.go compares it with the tables: everything
// committed came to its end, nothing rolled back ever ran, no attempt ran twice
// under one dispatch id, every further run of a job has a row in outbox.attempts
// that explains it, and at rest neither the ledger nor Redis holds anything.
//
// Its invariant is that no test passes for want of looking: a missing server, a
// process that ends unasked, a data race in a child and an unread history fail the
// test. What single packages promise is left to their own tests.
package e2e
