// Package redisq is the Redis half of the protocol: the window onto Postgres that
// a relay fills and workers empty. One script per verb, in lua/; each is one atomic
// step, and [Client] has a method for each.
//
// # The keys of a queue
//
// All carry the queue's hash tag, so that a script works in a cluster:
//
//	push ──▶ queue:{q}:high   ─┐                       ┌─▶ ack, or
//	         queue:{q}        ─┼─▶ take ─▶ queue:{q}:leases ─▶ expired ─▶ queue:{q}:lost ─▶ drop
//	     ──▶ queue:{q}:low    ─┘  ▲          ▲ beat, announce, release     ▲
//	     └─▶ queue:{q}:bell ──────┘ Wait     missing ──────────────────────┘
//
//	queue:{q}:high, queue:{q}, queue:{q}:low   lists of envelopes: LPUSH in, taken from the right
//	queue:{q}:leases                ZSET id:dispatch_id → deadline (ms)
//	queue:{q}:lost                  ZSET being taken back → the deadline it had, 0 when it was missing
//	queue:{q}:bell                  list of wake tokens, never a job
//	queue:{q}:meta                  HASH epoch, life, seq, paused, releases
//	queue:{q}:batches               HASH dispatch_id → seq: what was pushed already
//	queue:{q}:cancelled             ZSET id:dispatch_id → when it was called off (ms)
//	queue:{q}:receipt:<worker>      what the worker's last take handed over, for a minute
//	queue:{q}:pushing               HASH next: when a request may leave, by the endpoint's rate (µs)
//	queue:{q}:permits               ZSET request to the endpoint → until when it is believed (ms)
//	queue:{q}:pushers               ZSET push process → the same
//	rookery:workers, rookery:worker:<id>   the registry of living workers
//	rookery:{spool}:…                requests kept while Postgres is away; see spool.go
//
// # What it keeps
//
// A window belongs to one epoch, a number Postgres counts, and to one Redis
// process. Every script that changes something reads both first and refuses with
// [job.ErrStale] when either differs, having changed nothing; push refuses too when
// Redis knows of fewer batches than it once accepted ([job.ErrBehind]). Every
// script may be sent again with the same effect, save release, which is sent once.
// No job ever travels in the reply of a blocking command: workers block on bells.
// The only clock is Redis' TIME.
//
// What to do about a refusal is left to relay and workers: this package never
// begins an epoch by itself, and never decides that a job is lost.
//
// # Errors
//
// [job.ErrStale] (a [*job.StaleError]), [job.ErrBehind], [job.ErrLate] and
// [job.ErrFull] are refusals. [job.ErrUnavailable] is everything that may pass by
// itself: the network, a server that loads, fails over or refuses writes. Redis'
// texts are matched here and nowhere else.
package redisq
