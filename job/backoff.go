package job

import (
	"math/rand/v2"
	"time"
)

// The bounds of [Backoff].
const (
	BackoffBase = time.Second
	BackoffMax  = time.Hour
)

// Backoff returns how long a job waits after its failures-th failure (1 is the
// first): 1 s, doubling to 1 h, of which a random half to the whole is used
// ("equal jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
// Values below 1 count as 1. It is safe for concurrent use.
func Backoff(failures int) time.Duration {
	d := BackoffMax
	if failures = max(failures, 1); failures < 13 {
		d = min(BackoffBase<<(failures-1), BackoffMax)
	}
	return d/2 + rand.N(d/2+1)
}
