package main

import "math/rand/v2"

// plans are what receivers do at a job's attempts, the last at all that follow, and how
// often in a hundred. Whatever fails comes to a good end, or to the one that it names.
var plans = []struct {
	weight int
	steps  []string
	want   string // "" is completed
}{
	{46, nil, ""},
	{16, []string{"later"}, ""},
	{3, []string{"later-extend"}, ""},
	{3, []string{"later-fail", "later"}, ""},
	{2, []string{"later-never", "later"}, ""},
	{2, []string{"later-dead"}, "dead"},
	{3, []string{"late", "ok"}, ""},
	{4, []string{"500", "ok"}, ""},
	{2, []string{"500", "cut", "later"}, ""},
	{3, []string{"cut", "ok"}, ""},
	{3, []string{"answer-lost", "ok"}, ""},
	{4, []string{"cut-body"}, ""},
	{3, []string{"slow-body"}, ""},
	{1, []string{"429", "ok"}, ""},
	{1, []string{"503", "ok"}, ""},
	{1, []string{"503-bare", "ok"}, ""},
	{2, []string{"422"}, "dead"},
	{1, []string{"500"}, "dead"}, // each time, until it may not any more
}

// pushed draws a job for a receiver.
func pushed(r *rand.Rand, queues []string) spec {
	s := plain(r, queues)
	s.MS = 1 + r.IntN(300)
	n := r.IntN(100)
	for _, p := range plans {
		if n -= p.weight; n >= 0 {
			continue
		}
		s.Plan, s.Fails = p.steps, max(0, len(p.steps)-1)
		if p.want != "" {
			s.want, s.Fails = p.want, 1
		}
		if len(p.steps) == 1 && p.steps[0] == "500" {
			s.maxAttempts = int16(1 + r.IntN(2))
		}
		break
	}
	return s
}

// slowly has jobs take half a second to two: most are at a receiver when something breaks.
func slowly(r *rand.Rand, queues []string) spec {
	s := pushed(r, queues)
	s.MS = 500 + r.IntN(1500)
	return s
}
