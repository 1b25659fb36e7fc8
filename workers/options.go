package workers

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/penguinmails/rookery/job"
)

// What is not for users to choose.
const (
	markAfter   = 250 * time.Millisecond // an attempt is marked as running when it still is
	leakAfter   = 30 * time.Second       // grace between the end of a handler's ctx and giving it up
	watchEvery  = 50 * time.Millisecond
	stopGrace   = 2 * time.Second  // for handlers, between ErrShutdown and being left behind
	flushTime   = 2 * time.Second  // for the last outcomes and acks
	redisTime   = 3 * time.Second  // the deadline of one call to Redis
	storeTime   = 12 * time.Second // the deadline of one call to Postgres, above its statement_timeout of 10 s
	ackTries    = 3
	waitAtMost  = time.Second            // one wait for the bell
	waitJoining = 100 * time.Millisecond // the same while a queue waits for its epoch
)

// QueueWeight names a queue to take from. When all weights are 0 the queues are
// asked in their order, a later one only for what earlier ones could not fill;
// else each round asks them in a random order in which a queue of weight 6 comes
// first twice as often as one of weight 3, and none waits for more than three
// times as many rounds as its weight has it wait. With weights one slot in sixteen is not for
// queues that leave jobs behind at every take, unless all do: the next job of another
// starts at once.
type QueueWeight struct {
	Name   string
	Weight int
}

// Options of a [Worker]. Queues is required, everything else has a default.
type Options struct {
	ID          string        // unique among living processes; "" means host-pid-random
	Queues      []QueueWeight // at least one
	Concurrency int           // slots: attempts run at once; 0 means 100
	Middleware  []Middleware  // around every handler, the outermost first
	Timeout     time.Duration // of an attempt; 0 means 30 min, negative means none
	Lease       time.Duration // relays must use the same; 0 means job.Lease
	Beat        time.Duration // at most 6/15 of Lease; 0 means job.Beat
	DrainTime   time.Duration // what running attempts get at shutdown; 0 means 25 s, negative means none
	FlushEvery  time.Duration // how long an outcome waits for company; while hundreds come ten times as long, at most 50 ms; 0 means 5 ms
	Buffer      int           // outcomes waiting for Postgres at which taking stops; 0 means 4 × Concurrency + 500

	// For a worker that hands its attempts on to somebody else, such as package pull does.
	Demand *Demand // it takes what is wanted, and runs no job alone; nil: whatever it has slots for
	// Judged is called with what became of a job whose attempt has ended: its status, or ""
	// when Postgres refused the outcome, because the attempt was over. It must not block.
	// An attempt that is not judged, see [ErrUnseen] and [ErrAbandoned], is not heard of.
	Judged func(j *Job, now job.Status)

	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Logger     *slog.Logger          // nil: nothing is logged
	// Who makes spans; nil: the process's (otel.SetTracerProvider). An attempt has a trace
	// of its own, with a link to the producer's span, unless TraceAsChild has it continue
	// the producer's trace.
	TracerProvider trace.TracerProvider
	TraceAsChild   bool

	Figures   Figures           // where each minute's figures go; nil: nowhere
	Failpoint func(name string) // called at the points the Fail constants name; nil: nothing
}

// The points of [Options].Failpoint, at which crash tests end the process.
const (
	FailAfterTake       = "worker.after_take"       // jobs are leased, none has begun
	FailInHandler       = "worker.in_handler"       // in the attempt's goroutine, right before Work
	FailBeforeReconcile = "worker.before_reconcile" // handlers have returned, Postgres does not know
	FailBeforeAck       = "worker.before_ack"       // Postgres has committed, Redis does not know
)

// maxID is how long a worker's id may be, in bytes.
const maxID = job.MaxProcessID

// filled returns o with its defaults written out, or what is wrong with it.
func (o Options) filled() (Options, error) {
	if o.ID == "" {
		o.ID = newID()
	}
	setDefault(&o.Concurrency, 100)
	setDefault(&o.Timeout, 30*time.Minute)
	setDefault(&o.Lease, job.Lease)
	setDefault(&o.Beat, job.Beat)
	setDefault(&o.DrainTime, 25*time.Second)
	setDefault(&o.FlushEvery, 5*time.Millisecond)
	setDefault(&o.Buffer, 4*o.Concurrency+job.MaxBatch)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case len(o.ID) > maxID || !utf8.ValidString(o.ID) || strings.ContainsFunc(o.ID, unicode.IsControl):
		// It stands in keys of Redis and in every outcome: one NUL, and Postgres took none.
		return fmt.Errorf("id %.50q must have at most %d bytes of UTF-8 without control characters", o.ID, maxID)
	case o.Concurrency < 1:
		return fmt.Errorf("concurrency is %d, must be at least 1", o.Concurrency)
	case o.Buffer < 1:
		return fmt.Errorf("buffer is %d, must be at least 1", o.Buffer)
	case o.FlushEvery < 0:
		return fmt.Errorf("flush every is %s, must not be negative", o.FlushEvery)
	case o.Beat < time.Millisecond || o.Beat > o.Lease*6/15:
		return fmt.Errorf("beat is %s, must be at least 1ms and at most 6/15 of the lease, which is %s", o.Beat, o.Lease)
	case len(o.Queues) == 0:
		return errors.New("no queue to take from")
	}
	for _, m := range o.Middleware {
		if m == nil {
			return errors.New("a middleware is nil")
		}
	}
	return checkQueues(o.Queues)
}

func checkQueues(queues []QueueWeight) error {
	seen, weighted := map[string]bool{}, 0
	for _, q := range queues {
		if err := job.CheckQueueName(q.Name); err != nil {
			return err
		}
		if seen[q.Name] {
			return fmt.Errorf("queue %q is named twice", q.Name)
		}
		if seen[q.Name] = true; q.Weight < 0 {
			return fmt.Errorf("queue %q has weight %d, must not be negative", q.Name, q.Weight)
		}
		if q.Weight > 0 {
			weighted++
		}
	}
	if weighted > 0 && weighted < len(queues) {
		return errors.New("some queues have a weight and some have none")
	}
	return nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func newID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:8])
}
