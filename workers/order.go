package workers

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// mostLost bounds what a queue may lose: so many times as many rounds as its weight has
// it wait. One in e^mostLost would lose more by chance, so the weights hardly bend, and
// none waits for ever.
const mostLost = 3

// order says in which order the queues are asked in a round.
type order struct {
	queues   []*queue
	weighted bool
	keys     map[*queue]float64
	draw     func() float64 // from [0, 1)
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
// random sampling with a reservoir", 2006: sort by −ln(random)/weight), and before it
// those that have lost as often as they may, who lost most first.
func (o *order) next() []*queue {
	if !o.weighted {
		return o.queues
	}
	rivals := 0 // the weights of those that want slots
	for _, q := range o.queues {
		if q.hot || q.lost > 0 {
			rivals += q.weight
		}
	}
	for _, q := range o.queues {
		o.keys[q] = -math.Log(1-o.draw()) / float64(q.weight)
		if q.lost > 0 && q.lost*q.weight >= mostLost*rivals {
			o.keys[q] = -float64(q.lost)
		}
	}
	slices.SortFunc(o.queues, func(a, b *queue) int { return cmp.Compare(o.keys[a], o.keys[b]) })
	return o.queues
}

// passOver notes that there was no slot left in this round for these queues.
func passOver(queues []*queue, now time.Time) {
	for _, q := range queues {
		if q.wants(now) {
			q.lost++
		}
	}
}
