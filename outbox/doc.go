// Package outbox is step 1 of a job's way: an application inserts it in the same
// transaction as its business writes.
//
//	application                              Postgres
//	───────────                              ────────
//	BEGIN
//	INSERT INTO orders …
//	outbox.Insert(ctx, tx, args, options) ─▶ outbox.jobs        the job, status queued
//	                                           └ trigger ─▶ outbox.ready      when it is due,
//	                                                        outbox.scheduled  when it is not;
//	                                                        NOTIFY, only while every relay sleeps
//	COMMIT ───────────────────────────────▶  the job exists; a relay finds it (step 2)
//	or ROLLBACK ──────────────────────────▶  it never was
//
// # What the transaction guarantees
//
// The job exists exactly if the transaction commits, together with everything else
// in it: a savepoint that is rolled back takes its jobs along, and no worker sees a
// job before its COMMIT. That is as strong as the commit itself: a COMMIT whose
// answer was lost may have happened, and with synchronous_commit off, or after a
// failover to an asynchronous standby, Postgres may forget it, job and business
// rows alike. Producers never wait for each other and lock nothing that another
// producer writes. All isolation levels work.
//
// # What it does not
//
// A committed job runs at least once, not exactly once: handlers must bear a second
// run. Nothing is said about when it runs beyond "not before its run_at", and ids
// are given out before COMMIT, so a job with a lower id may become visible after
// one with a higher. Insert on a pool or a bare connection is a transaction of its
// own: whoever wants both or neither must pass the transaction. Two inserts make two
// jobs; there is no deduplication.
//
// # Doors
//
// [Insert] and [InsertMany] take a pgx.Tx, *pgx.Conn or *pgxpool.Pool; [InsertSQL]
// and [InsertManySQL] a *sql.Tx, *sql.Conn or *sql.DB of any Postgres driver with $1
// placeholders, and so serve GORM, Bun, ent and sqlx. The package asks for no
// session state: PgBouncer in transaction mode and every pgx.QueryExecMode will do.
// Other languages write to the same table by plain INSERT, or call
// outbox.enqueue(…).
//
// Under the role rookery_producer an application can insert jobs and do nothing
// else; [Cancel] and [Redrive] need rookery_server.
//
// A transaction that is to be prepared (two-phase commit) must not notify, so it
// begins with SET LOCAL outbox.wake = 'off'; its jobs are found by the relay's
// safety poll, within a second.
//
// # Errors
//
// Whatever breaks a limit is a [*job.FieldError] that names the field, most of them
// before anything is sent, so that the transaction is still good. Postgres has the
// last word (it prints JSON with spaces, and counts those): what it refuses becomes a
// *job.FieldError too, but then the transaction is aborted, as after any failed
// statement. All other errors keep the driver's error within reach of errors.As.
package outbox
