// Package relay moves due jobs from Postgres to Redis, and takes back what comes
// to nothing: steps 2, 3 and 7 of a job's way. Any number of relays run side by
// side, without a leader.
//
//	wake      NOTIFY or WAL, timer, poll     wake.go, pace.go
//	look      which queues, one batch each   look.go, handout.go
//	claim     D1  jobs → dispatched, ledger  dispatch.go   a crash after it leaves a ledger row without seq
//	push      D2  script, idempotent         dispatch.go   a crash after it leaves the same, and a noted batch
//	record    D3  seq into the ledger        dispatch.go
//	express   D1 and D2 with the insert      express.go
//	recover   push rows without seq again    recover.go
//	epoch     another Redis, or Postgres     epoch.go      the window is thrown away, never compared
//	reap      ended leases come back         reap.go
//	settle    what ended epochs left behind  reap.go
//	away      what Redis had, when it is gone, and what workers held   away.go
//	sweep     finished ledger rows go        keep.go
//	walk      the belt: must find nothing    keep.go
//	audit     the same, for what Redis must have   audit.go
//	forget    notes that stopped relays left  forget.go
//	prune     jobs that are long over go     retention.go
//
// The invariant: a job is in Redis under a dispatch id at most once, and only if a
// ledger row with that id says so. The row is committed before the push, the push
// refuses an id it has noted, and rows of ended epochs are never pushed again.
//
// Which queue is in which epoch is Postgres' to say; a relay only believes it
// (queue.Epoch) and has every statement and script check the belief. Time is
// Postgres' now() and Redis' TIME; the relay's own clock only measures pauses.
//
// Left to others: the statements (db), the scripts (internal/redisq), running jobs
// (workers), who wakes it (a [Source]).
package relay
