package workers

import (
	"time"

	"github.com/penguinmails/rookery/job"
)

// While outcomes come by the hundred a batch is worth waiting for: each costs Postgres a
// commit, and Redis an ack, whatever it holds. Eight processes that share a queue send
// eight batches where one would send two.
const (
	denseBatch = job.MaxBatch / 10     // outcomes within FlushEvery that are many
	densePause = 10                    // times FlushEvery: how long they then wait at most
	denseMost  = 50 * time.Millisecond // and never longer than this, unless FlushEvery is
)

// company says how long outcomes wait for others. A lone one waits for every and no
// longer, and so does the first burst after a lull: there is nothing to show that another
// follows. Only the batches after a dense one wait, and only while they are dense.
type company struct {
	every time.Duration
	full  int       // outcomes that wait for every and no longer
	dense time.Time // when the last dense batch left
}

// patience returns how long n outcomes are to wait yet, the first of which has waited
// for waited; nothing, when they are to go.
func (c *company) patience(n int, waited time.Duration, now time.Time) time.Duration {
	most := max(c.every, min(densePause*c.every, denseMost))
	switch {
	case n >= job.MaxBatch:
		return 0
	case waited < c.every:
		return c.every - waited
	case n < denseBatch, n >= c.full, now.Sub(c.dense) > most+c.every:
		return 0
	}
	return most - waited
}

// left notes that n outcomes left at now.
func (c *company) left(n int, now time.Time) {
	if n >= denseBatch {
		c.dense = now
	}
}

// fullBatch returns how many outcomes are enough when buffer is where taking stops: half
// of it at most, so that what waits for others never holds them up.
func fullBatch(buffer int) int { return min(job.MaxBatch, buffer/2) }
