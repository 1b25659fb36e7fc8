// Package workers takes jobs, runs their handlers and records what came of them:
// steps 4, 5 and 6 of a job's way.
//
//	        Queue.Take          go run               one writer: 5 to 50 ms, or 500
//	Redis ─────────────▶ fetch ───────▶ handler ───────▶ reconcile ─────▶ Postgres
//	  ▲                    │                               │ verdict
//	  │ Leases.Beat        ▼                               ▼
//	  ├───────────────── held: every attempt from its take to its verdict
//	  └──────────────────────────────── Leases.Ack ◀───── acknowledge
//
//	follow  tells Postgres that the process lives and learns each queue's epoch
//	join    announces and verifies what is held when a queue's epoch changed
//	beat    renews the leases of all that is held
//	watch   marks long attempts as running, ends those out of time or out of lease
//
// # What it keeps
//
//   - An attempt is held, and its lease renewed, from the take until Postgres has
//     given its verdict; first Postgres, then the ack in Redis.
//   - A batch to Postgres holds at most one outcome of an attempt. What does not
//     come back from Postgres is over: the fence (dispatch_id) is the judge, never
//     this process.
//   - Nothing is taken in an epoch lower than the one Postgres has, nor before what
//     is held was announced and verified in the present one.
//   - An attempt whose lease was not renewed for 13 of its 15 seconds, by this
//     process's own monotonic clock (which goes on while it is stopped), ends.
//
// # Where it may die
//
//   - between take and run: the lease ends, a relay hands the job out again
//     ([FailAfterTake]);
//   - after the handler, before Postgres: the same, and the job runs twice, which is
//     what at-least-once means ([FailBeforeReconcile]); these are the outcomes of 5 ms,
//     of 50 while hundreds come;
//   - after Postgres, before the ack: the reaper finds a lease whose attempt is over,
//     changes no row and drops it ([FailBeforeAck]).
//
// It leaves to others: what a lease is in Redis (internal/redisq), which outcomes
// are accepted and whether a failure was the last (db), taking back what was lost
// (relay).
package workers
