// Package pull hands jobs to workers in any language, who ask for them over HTTP. It
// owns the clients' leases: who waits for a job, who has which one until when.
//
// A server is a worker on behalf of its clients. For each queue that somebody asks for
// there is a [workers.Worker], whose handler does not run the job but waits for what the
// client says of it:
//
//	Lease ──▶ waiter ──▶ Demand ──▶ worker takes ──▶ handler ── hands it to a waiter ──▶ answer
//	Settle ─▶ lease ──────────────────────────────▶ handler returns ─▶ Postgres ─ verdict ──▶ answer
//
// So heartbeats, epochs, leases without Redis, fences and the records in Postgres are
// those of every worker and are not written twice. What this package adds is the second
// lease, that of the client on the server, which ends when the client is silent:
//
//	acked, nacked, released   the handler returns what the client said
//	run out                   the handler abandons the attempt: its lease in Redis ends, a
//	                          relay takes the job back and counts a loss, as of a worker
//	                          that crashed
//	server stopped            abandoned too if its client ever extended it, which it can
//	                          elsewhere; else the job goes back
//	never answered            the client hung up before it had the answer: the job goes back
//	                          as if it had not been taken
//
// An ack is answered when Postgres has it. One for a lease that this server does not
// have, because another gave it or this one was restarted, goes to Postgres at once: the
// lease's id names the attempt, its token proves that a server gave it, and the fence
// decides, as for every worker. A heartbeat for one makes this server hold the attempt as
// well (see adopt.go), so a client may go from server to server.
//
// [Callbacks] settles attempts of push workers in the same way. clients.go notes who asks,
// for people to see and to quieten.
package pull
