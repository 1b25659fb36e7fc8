package workers

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// order says in which order the queues are asked in a round.
type order struct {
	queues   []*queue
	weighted bool
	keys     map[*queue]float64
}

func newOrder(queues []*queue) *order {
	o := &order{queues: slices.Clone(queues), keys: map[*queue]float64{}}
	for _, q := range queues {
		o.weighted = o.weighted || q.weight > 0
	}
	return o
}

// next returns the queues of one round. The slice is valid until the next call.
// With weights it is a weighted random order (Efraimidis and Spirakis, "Weighted
// random sampling with a reservoir", 2006: sort by −ln(random)/weight), those that were
// passed over before all others.
func (o *order) next() []*queue {
	if !o.weighted {
		return o.queues
	}
	for _, q := range o.queues {
		o.keys[q] = -math.Log(1-rand.Float64()) / float64(q.weight)
	}
	slices.SortFunc(o.queues, func(a, b *queue) int {
		switch {
		case a.passed == b.passed:
			return cmp.Compare(o.keys[a], o.keys[b])
		case a.passed:
			return -1
		default:
			return 1
		}
	})
	return o.queues
}
