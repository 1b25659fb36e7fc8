package job

import "time"

// How the load of a queue is worked out.
const (
	RateSpan    = 5 * time.Minute       // how far back a [Rate] looks
	assumedRun  = time.Second           // what a job is taken to need when none has ended lately
	shortestRun = 10 * time.Millisecond // what a job is taken to need at the least, with all that is around it
)

// Rate is how many attempts of a queue ended lately, well or not. The zero value: none.
type Rate struct {
	Ended int64         // completed, failed, dead or cancelled
	Span  time.Duration // in this time: from the first minute of [RateSpan] in which one did
	Ran   time.Duration // how long their handlers ran, all together
}

// PerSecond is the throughput: attempts a second.
func (r Rate) PerSecond() float64 {
	if r.Ended == 0 || r.Span <= 0 {
		return 0
	}
	return float64(r.Ended) / r.Span.Seconds()
}

// SecondsOfWork says how long a backlog lasts at the rate of late: backlog / throughput.
// No backlog is no work. A queue that gets little to do shows a low throughput, though
// it could do more; so the rate counts as no lower than what one slot does that runs
// job after job. While nothing has ended, as with no worker, a job counts as a
// second: more than none, so an autoscaler begins.
func (r Rate) SecondsOfWork(backlog int64) float64 {
	if backlog <= 0 {
		return 0
	}
	run := assumedRun
	if r.Ended > 0 {
		run = max(r.Ran/time.Duration(r.Ended), shortestRun)
	}
	return float64(backlog) / max(r.PerSecond(), 1/run.Seconds())
}

// Backlog is how many jobs are due and have not ended: those in Postgres and those that
// are out. While Redis answers, those that have ended and are in the ledger still do
// not count. Ready stops at [StatsCap].
func (q QueueStats) Backlog() int64 {
	if q.Window != nil {
		return q.Ready + q.Window.Depth() + q.Window.Leased
	}
	return q.Ready + q.Out
}
