// Package httpapi is the second door to step 1 of a job's way and the window for
// people: it inserts jobs that come over HTTP, and shows jobs and queues.
//
// # The invariant
//
// What it lets in, Postgres can store and every later step can carry: input is
// either refused here, naming each wrong field and its limit, or inserted whole.
// Nothing a client sends is answered with a 5xx, and no 5xx carries the text of a
// driver. The package knows nothing of Postgres or Redis but the interfaces it
// declares; while Redis is away it goes on inserting, and while Postgres is away it
// takes jobs if it has a spool.
//
// # The routes
//
//	POST /v1/jobs          insert one job: 201, Location, the job
//	POST /v1/jobs/batch    insert 1 to 1,000, all or none: {"jobs": [job, …]}; or, as
//	                       application/x-ndjson, one job a line
//	GET  /v1/jobs/{id}     the row, its attempts, timeline, live status; ?include=payload;
//	                       ?wait=30s waits, to 40s, for its end, and answers with what is then
//	GET  /v1/queues        the figures of every queue
//	GET  /v1/spool/{id}    with a spool: waiting, inserted (with job_ids) or refused
//	POST /v1/keys          make a key: name, scopes, queues, expires_at; the answer alone has it
//	GET  /v1/keys          keys without secrets; ?limit= to 200, ?cursor=
//	DELETE /v1/keys/{id}   revoke a key
//	GET  /v1/audit         what people have changed, the newest first; ?limit=, ?cursor=
//	GET  /v1/events        with Events: what becomes of jobs and queues, as server-sent events;
//	                       ?queue_name=, kind, status, job_id; Last-Event-ID or ?cursor= goes on
//	GET  /v1/events/export the same with more facts as JSON lines; ?cursor=
//	GET  /v1/openapi.json  all of this as an OpenAPI 3.1 document; open to all
//	GET  /v1/docs          and as a page to read; open to all
//	GET  /livez            the process answers; open to all
//	GET  /readyz           its checks: {"ready", "checks": [{"name", "state", "detail"}, …]};
//	                       state is ok, degraded or down; open to all
//	GET  /metrics          Prometheus
//	     /ui/              the dashboard, where the server has one: package dashboard
//
// With [Options].Admin also:
//
//	GET    /v1/jobs                 a page of jobs: queue_name, kind, status, created_after,
//	                                created_before; limit (1 to 200), cursor
//	POST   /v1/jobs/{id}/cancel     {"id", "status"}, or 409
//	POST   /v1/jobs/{id}/redrive    {"id", "status"}, or 409
//	POST   /v1/jobs/{id}/clone      201, Location: the same job once more, due now
//	DELETE /v1/jobs/{id}            204: a job that is over, and its history, are gone; or 409
//	GET    /v1/queues/{name}        the figures of one queue
//	PATCH  /v1/queues/{name}        {"window_size": n}
//	POST   /v1/queues/{name}/pause  and /resume: the queue's figures
//	GET    /v1/workers              relays and workers; role (relay or worker)
//	GET    /v1/stats                what an autoscaler asks for, of every queue: depth, oldest age,
//	                                throughput, seconds_of_work; figures of all queues are shared
//	                                for a second
//	GET    /v1/stats/{name}/scaler  the same of one queue, for KEDA; 0 of one that nobody has used
//
// With [Options].Bulk also:
//
//	POST /v1/jobs/bulk               {"action", "ids"}: what became of each; or {"action",
//	                                 "filter", "all", "dry_run"}: 202, Location, an operation
//	POST /v1/queues/{name}/purge     {"confirm": name}: 202, an operation that cancels what waits
//	GET  /v1/operations              the newest first; ?limit=, ?cursor=
//	GET  /v1/operations/{id}         how far it is
//	POST /v1/operations/{id}/cancel  the operation; what is done stays done
//
// With [Options].Workers also:
//
//	POST /v1/workers/{id}/quiet  {"quiet": true}: it takes no new jobs and finishes what it has
//
// With [Options].Endpoints, for keys with queues:admin:
//
//	PUT    /v1/queues/{name}/endpoint         {"url", …}: deliver the queue's jobs there; 201
//	                                          with the secret of a new endpoint, or 200
//	GET    /v1/queues/{name}/endpoint         where they are delivered to
//	DELETE /v1/queues/{name}/endpoint         204: nowhere any more
//	POST   /v1/queues/{name}/endpoint/test    {"delivered", "status", …}, without a job
//	POST   /v1/queues/{name}/endpoint/rotate  {"secret"}; keep_old_seconds (0 to 604,800)
//
// Lists are {"data": […], "next_cursor": "…" or null}. There is no total, and no offset:
// both cost as much as reading all that is left out. A page of jobs ends early, with
// scanned_to, when it has looked at 10,000 places of its list; next_cursor goes on from
// there. What walks a narrow index: ready, scheduled, retrying, out, dispatched, running
// and dead; every other status, and each further filter, is a walk over the ids.
//
// A job has the fields queue_name, kind, payload, priority, run_at (RFC 3339),
// max_attempts and headers, all optional; payload may be any JSON, null included,
// and no other field may be null. A traceparent header of the request becomes
// headers.traceparent unless that is given. An urgent job (priority 50 or less,
// due) takes the express lane when the server has one, and is then dispatched in
// the answer instead of queued.
//
// # The spool
//
// With a spool, while Postgres is away:
//
//	POST ──▶ Postgres does not answer ──▶ spool (Redis) ──▶ 202 {"durable": false, "spool_id": "…"}
//	                                           └─▶ drained when Postgres answers, at most once
//
// A 202 is a weaker promise than a 201: until they are drained the jobs exist in
// Redis alone, outside the guarantees G1 and G2, and go with it. They then come
// after those inserted in the meantime, and a job without run_at is due when it is
// drained.
//
// # The Idempotency-Key
//
// A request with an Idempotency-Key is inserted once, however often it is sent and
// whichever way it takes, for eight days, and answered as the first time, with
// Idempotency-Replayed: true: its key's row is written in the transaction that inserts
// its jobs. A request that finds another with its key under way waits for it, for a
// second. Each key of the API has Idempotency-Keys of its own.
//
// # Keys
//
// With keys, everything but what is open to all needs Authorization: Bearer <key>.
// Without, the server listens on loopback only, answers only to loopback names in
// the Host header, and takes nothing from web pages of another origin. The keys of
// [Options] may everything. One that people made has scopes, which routeAccess sets
// against routes, and may be for some queues: of the others it sees nothing. How long a
// revoked key goes on, and keys while Postgres is away, is with keyCache.
//
// # Problems
//
// Errors are application/problem+json (RFC 9457) with a code that stays the same:
//
//	400 invalid_json            not UTF-8 or not JSON; the detail says where
//	400 invalid_parameter       in the path or the query; errors names it
//	400 missing_body            there was none, or it broke off
//	401 unauthorized            no key, or one that is unknown, revoked or has expired
//	403 forbidden               the key lacks a scope, which the detail names, or is not for
//	                            the queue that the request names
//	403 forbidden_origin        without keys: another Host or another origin
//	400 cursor_filter_mismatch  the cursor was made by a list with other filters
//	403 read_only               the server takes no jobs and changes nothing
//	404 not_found               no such route
//	404 job_not_found           no such job, or of a queue that the key is not for
//	404 key_not_found           no such key
//	404 endpoint_not_found      the queue is not delivered to a URL
//	404 queue_not_found         nobody has used a queue with this name
//	404 operation_not_found     no such operation
//	404 worker_not_found        no worker has this id
//	405 method_not_allowed      Allow lists the methods
//	409 wrong_status            the job's status does not allow this
//	408 request_timeout         the body did not arrive in time
//	413 body_too_large          the detail has the limit
//	415 unsupported_media_type  not application/json (a batch: or x-ndjson), not UTF-8, or compressed
//	404 spool_id_unknown        nothing is known under the id; it may have gone with Redis
//	422 invalid_job             errors lists every fault: pointer, field, code, detail
//	409 idempotency_key_in_use  a request with this Idempotency-Key is under way; nothing was
//	                            inserted; Retry-After
//	422 invalid_key             errors lists every fault of the key that was to be made
//	429 rate_limited            the key, or unknown keys from the client's address, came too
//	                            often, or callbacks about one attempt, or has as many
//	                            streams or exports of events as may be; Retry-After
//	429 too_many_operations     as many are running as may be; Retry-After
//	429 too_many_waits          a thousand clients wait for jobs already; Retry-After
//	422 invalid_queue           as invalid_job, of a change of a queue
//	422 invalid_request         as invalid_job, of a bulk change, or of a request that has no fields
//	422 invalid_endpoint        as invalid_job, of an endpoint
//	404 lease_not_found         no lease's id, or of a queue that the key is not for
//	409 lease_lost              the attempt is over, or the token is not that of the lease
//	409 lease_elsewhere         another server holds the lease in Postgres, with Redis away, and
//	                            only that one can extend it
//	503 not_run                 the server's handler is served, and nobody runs it: it hands
//	                            out no jobs; Retry-After
//	429 too_many_waiters        so many requests wait for jobs already; Retry-After
//	429 too_many_leases         the server has as many leases as it may; Retry-After
//	429 too_many_queues         the server hands out as many queues as it may; Retry-After
//	422 idempotency_key_reused  the Idempotency-Key came with another body before
//	499 client_closed_request   only in metrics and log
//	500 internal_error          a fault of ours; the log has it under request_id
//	503 unavailable             Postgres is away, and the spool, if there is one, full or
//	                            away too; Retry-After. An insert whose commit was under
//	                            way may have happened all the same
//
// The codes of the faults in errors:
//
//	unknown_field duplicate_field required null_field wrong_type
//	out_of_range invalid_name invalid_format too_long too_large
//	too_deep         more than 128 levels
//	nul_character    \u0000, which Postgres cannot store
//	lone_surrogate   half a surrogate pair
//	number_too_large more digits than Postgres' numeric holds
//	unstorable       Postgres refused what the door had let in; errors has the SQLSTATE
//	invalid          any other limit
//
// # What it leaves to others
//
// Limits over all processes, and on connections, belong to a proxy in front. The headers and last_error of a job are shown to whoever has jobs:read for its queue;
// secrets belong into the payload, which takes payloads:read.
package httpapi
