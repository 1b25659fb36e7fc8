// Package push delivers jobs to URLs: a worker whose handler is somebody's HTTP server.
//
//	outbox.endpoints ── every 2 s ──▶ Push      a line for each endpoint:
//	                                   │
//	          workers.Worker ─ Work ─▶ target ─▶ gate ─▶ Client ─▶ POST, signed
//	                                   │          ▲         │
//	           complete, fail, snooze, │          └ slower ─┤ 429, 503
//	           discard                 ◀──────── verdict ───┘ the rest
//
// The gate keeps to what the receiver said (gate.go), and to the endpoint's limits, which
// all push workers share by permits in Redis (permit.go). A receiver that answers 202 with
// Rookery-Async: true ends the attempt later, by a callback to any server of the API, which
// tells Postgres; meanwhile the attempt is kept open here (callback.go).
//
// Each queue with an endpoint has a worker of its own, so that a receiver that hangs
// holds up nobody else's jobs. Leases, retries, timeouts and what a crash does are the
// worker's; a job is delivered at least once, each time under the same webhook-id.
//
// # What it keeps
//
//   - The bytes that are sent are the bytes that are signed, as Standard Webhooks has it
//     (https://github.com/standard-webhooks/standard-webhooks).
//   - No connection is made to an address that [Policy] does not allow. It is asked of
//     the address that is dialled, after DNS, so that a name cannot point elsewhere
//     between the question and the dial. No proxy is used and no redirect followed.
//   - A request ends within its endpoint's timeout, whatever the receiver does; of its
//     answer at most 16 KiB of headers and 64 KiB of body are read.
//   - No secret, payload or URL is logged.
//
// It leaves to others: where endpoints are kept (db), and who may change them (httpapi).
package push
