package workers

import "time"

// Status is what a worker is doing at this moment, for readiness and for people.
type Status struct {
	ID         string
	Slots      int           // attempts it runs at most at once
	Running    int           // handlers that have not returned, without the leaked ones
	Leaked     int           // slots whose handler ignored the end of its context
	Held       int           // attempts whose lease it keeps alive
	Holding    int           // of those: held in Postgres, with Redis away
	Outcomes   int           // outcomes that Postgres does not have yet
	Draining   bool          // it takes no more
	RedisAt    time.Time     // when Redis last answered, by this process's clock; zero: never
	PostgresAt time.Time     // when Postgres last did
	Queues     []QueueStatus // in the order of Options.Queues
}

// QueueStatus is one queue as the worker sees it.
type QueueStatus struct {
	Name  string
	Epoch int64 // the last one in which all that is held was announced and verified
	Open  bool  // jobs may be taken; false while the next epoch is waited for
	// Direct: Redis is away, and jobs are taken from Postgres.
	Direct bool
}

// Status may be called at any time, also before and after Run.
func (w *Worker) Status() Status {
	c := w.held.counts()
	s := Status{
		ID: w.o.ID, Slots: w.o.Concurrency, Running: c.running - c.leaked, Leaked: c.leaked, Held: c.attempts, Holding: c.holding,
		Outcomes: c.outcomes, Draining: w.draining.Load(), RedisAt: clock(w.redisAt.Load()), PostgresAt: clock(w.postgresAt.Load()),
	}
	for _, q := range w.queues {
		_, open := q.open()
		s.Queues = append(s.Queues, QueueStatus{Name: q.name, Epoch: q.report(), Open: open, Direct: q.direct(time.Now(), w.o.Beat)})
	}
	return s
}

func clock(unixNano int64) time.Time {
	if unixNano == 0 {
		return time.Time{}
	}
	return time.Unix(0, unixNano)
}
