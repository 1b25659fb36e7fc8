package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// order is what a payload tells the worker, see ../worker. Key is the job's name in
// the history: a Postgres that has lost its tail issues ids again.
type order struct {
	Key   string `json:"key"`
	Do    string `json:"do,omitempty"` // "" sleeps; deaf, panic, poison, hog
	MS    int    `json:"ms"`
	Fails int    `json:"fails,omitempty"` // runs that fail before one succeeds

	Plan []string `json:"plan,omitempty"` // what a receiver does at each attempt, see ../receiver
}

// spec is a job to insert.
type spec struct {
	order
	queue       string
	priority    int16
	maxAttempts int16
	runAt       time.Time // zero: at once
	want        string    // the status it must end in
}

func (s spec) payload() string {
	text, err := json.Marshal(s.order)
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(text)
}

// mix draws jobs.
type mix func(r *rand.Rand, queues []string) spec

// mixes are what CHAOS_MIX may name.
var mixes = map[string]mix{
	"mixed": mixed, // short and longer jobs of all bands, some that fail, some for later
	"quick": quick, // nothing but jobs of a few ms
	"slow": func(r *rand.Rand, queues []string) spec { // half a second to two: most are running when something breaks
		s := plain(r, queues)
		s.MS = 500 + r.IntN(1500)
		return s
	},
	"long": func(r *rand.Rand, queues []string) spec { // longer than a lease
		s := plain(r, queues)
		s.MS = 18_000 + r.IntN(4_000)
		return s
	},
	"pushed":        pushed, // for receivers: most do it and say so, the others whatever web services do
	"pushed-slowly": slowly, // the same, half a second to two each
	"sleepy": func(r *rand.Rand, queues []string) spec { // for many leases at once
		s := plain(r, queues)
		s.MS = 5_000 + r.IntN(5_000)
		return s
	},
}

func plain(r *rand.Rand, queues []string) spec {
	return spec{queue: queues[r.IntN(len(queues))], priority: []int16{10, 100, 100, 100, 300}[r.IntN(5)], maxAttempts: 25, want: "completed"}
}

func quick(r *rand.Rand, queues []string) spec {
	s := plain(r, queues)
	s.MS = 1 + r.IntN(5)
	return s
}

func mixed(r *rand.Rand, queues []string) spec {
	s := plain(r, queues)
	s.MS = int(math.Exp(r.Float64() * math.Log(200))) // 1 to 200 ms, most of them short
	switch n := r.IntN(100); {
	case n < 4: // fails and is tried again, after a second or two
		s.Fails = 1 + r.IntN(2)
	case n < 5: // fails for good
		s.maxAttempts = int16(1 + r.IntN(2))
		s.Fails, s.want = int(s.maxAttempts), "dead"
	case n < 6:
		s.Do, s.Fails = "panic", 1
	case n < 9:
		s.runAt = time.Now().Add(time.Duration(r.IntN(4000)) * time.Millisecond)
	}
	return s
}

// find returns the mix of a name.
func find(name string) (mix, error) {
	m, ok := mixes[name]
	if !ok {
		return nil, fmt.Errorf("CHAOS_MIX is %q, which is no mix", name)
	}
	return m, nil
}
