package workers

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// order says in which order the queues are asked in a round.
type order struct {
	queues   []*queue
	weighted bool
	keys     map[*queue]float64
	draw     func() float64 // from [0, 1)
	rounds   int64

	favours  bool // this round begins with those that were passed over
	favoured bool // and one of them got a slot
}

func newOrder(queues []*queue) *order {
	o := &order{queues: slices.Clone(queues), keys: map[*queue]float64{}, draw: rand.Float64}
	for _, q := range queues {
		o.weighted = o.weighted || q.weight > 0
	}
	return o
}

// next returns the queues of one round. The slice is valid until the next call.
// With weights it is a weighted random order (Efraimidis and Spirakis, "Weighted
// random sampling with a reservoir", 2006: sort by −ln(random)/weight), those that were
// passed over before all others, in the order in which they were; but after a round in which that brought one of them a
// slot, by weights alone. Or queues with a job now and then, if they are many, would
// take every slot, and a backlog of whatever weight none.
func (o *order) next() []*queue {
	if !o.weighted {
		return o.queues
	}
	o.favours, o.favoured = !o.favoured, false
	o.rounds++
	for _, q := range o.queues {
		o.keys[q] = -math.Log(1-o.draw()) / float64(q.weight)
	}
	slices.SortFunc(o.queues, func(a, b *queue) int {
		switch {
		case !o.favours || a.passed == b.passed:
			return cmp.Compare(o.keys[a], o.keys[b])
		case a.passed == 0:
			return 1
		case b.passed == 0:
			return -1
		default:
			return cmp.Compare(a.passed, b.passed)
		}
	})
	return o.queues
}

// gave notes that a queue got n slots, and whether it had been passed over before.
func (o *order) gave(passed bool, n int) {
	o.favoured = o.favoured || o.favours && passed && n > 0
}

// passOver notes that there was no slot left for these queues.
func (o *order) passOver(queues []*queue, now time.Time) {
	for _, q := range queues {
		if q.passed == 0 && q.waits(now) {
			q.passed = o.rounds
		}
	}
}
