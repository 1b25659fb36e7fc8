package relay

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// The background audit is a belt: it looks for attempts that the ledger entrusts to
// Redis and that Redis has nowhere, and must find none. One queue has its turn every
// two thirds of a lease, and what is missing is looked for a second time a lease
// later. One look is sound by itself (see nowhere), and what is done about a finding
// does no harm even if it was none (see bringBack).

// auditMost is how many waiting attempts one look compares with the window; of a
// longer one the rest has its turn next.
const auditMost = 10_000

// inquest is where the audit stands. Only its duty touches it.
type inquest struct {
	queue    string // whose turn it is; "": none yet
	epoch    int64
	from     job.Cursor // where in the ledger the next look at it begins; zero: it has been looked at
	suspects []job.Ref  // missing in the first look; at most auditMost
	at       time.Time  // of that look
}

// every two thirds of a lease a look, only at what has been where it is for long.
func (r *Relay) auditEvery() time.Duration { return r.o.Lease * 2 / 3 }
func (r *Relay) auditAge() time.Duration   { return 4*r.o.Lease + pushWithin }

// audit takes one look at one queue.
func (r *Relay) audit(ctx context.Context) error {
	a := &r.inquest
	if len(a.suspects) > 0 {
		return r.lookAgain(ctx, a)
	}
	b, ok := r.turn(a)
	if !ok {
		return nil
	}
	unleased, releases, next, err := r.unleased(ctx, b, a.from)
	if err != nil {
		return err
	}
	missing, err := r.nowhere(ctx, b, unleased, releases)
	if err != nil {
		return err
	}
	a.from, a.suspects, a.at = next, missing, time.Now()
	return nil
}

// lookAgain looks a second time for what was missing in the first look.
func (r *Relay) lookAgain(ctx context.Context, a *inquest) error {
	if time.Since(a.at) < r.o.Lease {
		return nil
	}
	var b belief
	if q := r.known(a.queue); q != nil {
		b = q.believe()
	}
	if b.epoch != a.epoch {
		a.from, a.suspects = job.Cursor{}, nil // settled with its epoch
		return nil
	}
	if !b.open {
		return nil
	}
	unleased := map[job.Ref]bool{}
	releases, _, err := r.absent(ctx, b, a.suspects, unleased)
	if err != nil {
		return err
	}
	missing, err := r.nowhere(ctx, b, unleased, releases)
	if err != nil {
		return err
	}
	if err := r.bringBack(ctx, b, missing); err != nil {
		return err
	}
	a.suspects = nil
	return nil
}

// turn says which queue to look at: the one that has a rest, or the next in the
// order of names.
func (r *Relay) turn(a *inquest) (belief, bool) {
	queues := r.all()
	slices.SortFunc(queues, func(x, y *queue) int { return cmp.Compare(x.name, y.name) })
	first := max(slices.IndexFunc(queues, func(q *queue) bool { return q.name > a.queue }), 0)
	if a.queue == "" && len(queues) > 0 {
		first = rand.IntN(len(queues)) // relays that start together look at different ones
	}
	queues = append(slices.Clone(queues[first:]), queues[:first]...)
	if q := r.known(a.queue); q != nil && a.from != (job.Cursor{}) {
		queues = append([]*queue{q}, queues...)
	}
	for _, q := range queues {
		q.mu.Lock()
		b, reachable := q.believeLocked(), q.window.reachable()
		q.mu.Unlock()
		if !reachable {
			continue
		}
		if b.name != a.queue || b.epoch != a.epoch {
			*a = inquest{queue: b.name, epoch: b.epoch}
		}
		return b, true
	}
	return belief{}, false
}

// unleased walks the ledger from a place on, and returns those attempts of long
// accepted batches that nobody has leased and nobody is taking back; most of them
// wait in the window. releases is what Redis had counted before the first of them
// was asked for. next is where the rest of the ledger begins, zero when there is
// none.
func (r *Relay) unleased(ctx context.Context, b belief, from job.Cursor) (unleased map[job.Ref]bool, releases int64, next job.Cursor, err error) {
	unleased, releases = map[job.Ref]bool{}, -1
	for {
		page, err := r.store.Entrusted(ctx, b.name, b.epoch, b.seq, r.auditAge(), from)
		if err != nil || !page.More {
			return unleased, releases, job.Cursor{}, err
		}
		counted, _, err := r.absent(ctx, b, page.Refs, unleased)
		if err != nil {
			return nil, 0, from, err
		}
		if releases < 0 {
			releases = counted
		}
		r.metrics.audited.Add(float64(len(page.Refs)))
		if from = page.Next; len(unleased) >= auditMost {
			return unleased, releases, from, nil
		}
	}
}

// nowhere returns those of unleased that are current in the ledger and nowhere in
// the window.
//
// Every batch here was accepted before the ledger was read, so its copies were all
// in the window by then. An attempt that was neither leased nor lost when it was
// first asked for stands in a list, or is missing, or is over. A list is read from
// the end that pushes fill, so what stays in it is not passed over. What was taken
// meanwhile is leased, or lost, when it is asked for once more, or else it is over:
// taken back, or its outcome recorded. The only other way is a release, and those
// are counted: with one in between nothing is concluded. At last Postgres is asked
// which are over.
func (r *Relay) nowhere(ctx context.Context, b belief, unleased map[job.Ref]bool, releases int64) ([]job.Ref, error) {
	if err := r.crossOff(ctx, b, unleased); err != nil || len(unleased) == 0 {
		return nil, err
	}
	still := map[job.Ref]bool{}
	_, counted, err := r.absent(ctx, b, slices.Collect(maps.Keys(unleased)), still)
	if err != nil || counted != releases {
		return nil, err
	}
	var missing []job.Ref
	for refs := range slices.Chunk(slices.Collect(maps.Keys(still)), job.MaxBatch) {
		current, err := r.store.Verify(ctx, refs)
		if err != nil {
			return nil, err
		}
		missing = append(missing, current...)
	}
	return missing, nil
}

// absent adds to into those of refs that are neither leased nor lost. first and last
// are how many releases Redis had counted at the first and at the last call; -1
// without refs.
func (r *Relay) absent(ctx context.Context, b belief, refs []job.Ref, into map[job.Ref]bool) (first, last int64, err error) {
	first, last = -1, -1
	for part := range slices.Chunk(refs, job.MaxBatch) {
		absent, releases, err := r.redis.Absent(ctx, b.name, b.epoch, part)
		if err != nil {
			return 0, 0, err
		}
		if last = releases; first < 0 {
			first = releases
		}
		for _, ref := range absent {
			into[ref] = true
		}
	}
	return first, last, nil
}

// crossOff removes from unleased what waits in the window.
func (r *Relay) crossOff(ctx context.Context, b belief, unleased map[job.Ref]bool) error {
	for _, band := range []job.Band{job.High, job.Normal, job.Low} {
		for from := 0; len(unleased) > 0; {
			waiting, next, err := r.redis.Waiting(ctx, b.name, b.epoch, band, from)
			if err != nil {
				return err
			}
			for _, ref := range waiting {
				delete(unleased, ref)
			}
			if from = next; next == 0 {
				break
			}
		}
	}
	return nil
}

// bringBack hands missing attempts back to Postgres, and alarms. They are called off
// in Redis first, in one step with seeing that they are still not leased: whatever
// copy there may be after all is dropped at take, and only then does Postgres give
// the job away again. A crash between the two leaves an attempt that no take hands
// over: missing, and found so by the next audit.
func (r *Relay) bringBack(ctx context.Context, b belief, missing []job.Ref) error {
	for refs := range slices.Chunk(missing, job.MaxBatch) {
		entombed, err := r.redis.Entomb(ctx, b.name, b.epoch, refs)
		if err != nil {
			return err
		}
		r.o.Failpoint("relay.after_entomb")
		attempts := make([]job.LostAttempt, len(entombed))
		for i, ref := range entombed {
			attempts[i].Ref = ref
		}
		back, err := r.store.Requeue(ctx, job.Requeue{QueueName: b.name, Epoch: b.epoch, Attempts: attempts})
		if err != nil {
			return err
		}
		if len(back) == 0 {
			continue // over, or its epoch is
		}
		r.metrics.auditMissing.Add(float64(len(back)))
		ids := make([]int64, 0, len(back))
		for _, v := range back {
			r.tookBack(ctx, b.name, v, "missing")
			ids = append(ids, v.Ref.ID)
		}
		r.log.ErrorContext(ctx, "jobs were missing in redis and are handed out again; please report this unless somebody deletes keys there",
			"queue_name", b.name, "jobs", len(back), "job_ids", ids[:min(len(ids), 20)])
	}
	return nil
}
