// Walroute measures whether a relay should route jobs straight from the WAL: what a
// job costs when the insert trigger files it in outbox.ready and a relay claims it
// from there, and what it costs when a relay reads the inserted rows from the WAL and
// claims them by id. docs/adr/0010 is about what came of it.
//
//	ready          today's tables, trigger and D1 (package db's Store), wal_level=replica
//	ready-logical  the same, wal_level=logical
//	routed         no row in ready; ids from the WAL, envelopes from the claim's RETURNING
//	routed-whole   no row in ready; envelopes from the WAL, the claim returns ids alone
//
// Each has a Postgres of its own (fsync on). A round inserts and claims at once, then
// completes every job by the same bare HOT update in all, then vacuums: autovacuum is
// off, so that each pays for the same number of vacuums. Rounds of the four alternate,
// and the table shows medians. CPU is that of /proc/PID/schedstat, per job.
//
// What is routed cheats in nothing that a crash would show: rows come in commit order
// over a persistent slot, a batch counts as handed out when its claim has committed,
// and the slot is confirmed up to the first transaction of which a row is not claimed.
// It is spared what else it would need: a trigger that knows whether somebody tails, a
// window that fills, a bound on a batch's bytes, and the question whether a row that
// was not there yet ever will be.
//
//	cd bench && go run ./probes/walroute
//	cd bench && go run ./probes/walroute -rounds 8 -variants ready,routed-whole -only '100 a transaction, 1024 B'
package main
