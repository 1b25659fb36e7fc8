// Package gate counts what a job costs Rookery where counting does not depend on the
// machine's mood, and holds the counts against the ceilings of ceilings.go.
//
// What makes counts vary is how full batches are, and what a clock starts. So the
// parts of a job's way are made to go one after the other, on servers of their own,
// each over more jobs than it takes at once:
//
//	insert   2,000 jobs by one producer, each in a transaction with a row of the
//	         application's; no relay has ever run, so every insert finds the gate open
//	copy     38,000 by the same, in COPYs of 500
//	         (VACUUM ANALYZE, not counted: autovacuum is off)
//	relay    a relay hands all 40,000 to Redis, 8,000 in each of five queues, which
//	         their windows hold without a worker: 80 full claims; then it stops
//	worker   a worker runs them from Redis, without a relay, in 10,000 slots, whose
//	         buffer holds all outcomes: 80 full takes and as many full batches
//	         (40,000 more by copy, vacuum and relay, not counted; the gate of events opens)
//	listened the same as worker, while somebody listens to events
//	listener what a server then reads for all who listen to it
//
// What a relay does by the clock is left out by name (byClock), or as often as the
// clock accounts for (everySecond). How often it looks around while its claims are under
// way, and claims what is gone, hangs on the machine: surveys and claims in vain have
// ceilings of their own, with room, and are in no other count; what a relay surveys when
// all is handed out is in none. No checkpoint falls into a run, so that no page images
// do. What batches of a busy system look like, and how long anything takes, is for the
// workloads to say, not for the gate.
package gate
