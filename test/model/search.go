package model

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"strings"
)

// Result is what a search found.
type Result struct {
	States  int
	Steps   int
	Found   violation
	Trace   []string // from the first state to the violation
	Limited bool     // the limit of states ended the search before it had seen all
}

// fingerprint stands for a state: 128 bits, so that two of a hundred million
// states share one with a probability of 10^-23.
type fingerprint [2]uint64

// search is a breadth-first search: what it finds first is as short as any.
type search struct {
	x      explorer
	limit  int
	seeds  [2]maphash.Seed
	prints []fingerprint
	parent []uint32
	good   []bool // a state from which nothing more is asked
	table  []uint32
	back   [][2]uint32 // steps that are neither faults nor help: to, from
	steps  int
}

// Run searches everything that can happen in cfg without the rule removed, and stops
// at the first violation. A state from which a job cannot become terminal, without
// further faults and without help, is one too.
func Run(cfg Scenario, removed Rule, limit int) Result {
	s := &search{x: explorer{cfg: cfg, removed: removed}, limit: limit, table: make([]uint32, 1<<16)}
	s.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	first := s.x.first()
	s.x.tidy(&first)
	s.note(&first, 0)
	level, next := []State{first}, []State{}
	for at := uint32(0); len(level) > 0; level, next = next, level[:0] {
		for i := range level {
			if v := s.x.judge(&level[i]); v != none {
				return s.result(v, at)
			}
			steps := s.x.steps(&level[i])
			s.steps += len(steps)
			s.good[at] = level[i].over(&cfg) || s.x.bounded
			for k := range steps {
				n := &steps[k].next
				s.x.tidy(n)
				j, fresh := s.note(n, at)
				if fresh {
					next = append(next, *n)
				}
				if steps[k].kind != outside {
					s.back = append(s.back, [2]uint32{j, at})
				}
			}
			at++
		}
		if len(s.prints) > limit {
			return Result{States: len(s.prints), Steps: s.steps, Limited: true}
		}
	}
	if at, found := s.stuck(); found {
		return s.result(stuck, at)
	}
	return Result{States: len(s.prints), Steps: s.steps}
}

// first is where everything begins: an open epoch, and jobs that are due.
func (x *explorer) first() State {
	s := State{Left: x.cfg.Faults}
	s.PG.Epoch, s.PG.EpochAge, s.PG.Ours = 1, lease, true
	s.Redis.Epoch, s.Redis.Ours = 1, true
	for j := x.cfg.Jobs; j < jobs; j++ {
		s.PG.Jobs[j].Status = completed
	}
	for r := range s.Relays {
		s.Relays[r].Epoch, s.Relays[r].Contact, s.Relays[r].Steady = 1, lease, lease
	}
	for w := range s.Workers {
		s.Workers[w] = Worker{Epoch: 1, Joined: 1, Truth: 1, Told: true}
		s.PG.Beats[w].Epoch = 1
		if w >= x.workers() {
			s.Workers[w], s.PG.Beats[w] = Worker{}, Beat{Age: lease, Epoch: noRow}
		}
	}
	return s
}

// note returns the number of a state, and whether it is new.
func (s *search) note(n *State, from uint32) (uint32, bool) {
	p := s.print(n)
	if len(s.prints)*2 >= len(s.table) {
		s.grow()
	}
	for i := p[0] & uint64(len(s.table)-1); ; i = (i + 1) & uint64(len(s.table)-1) {
		switch at := s.table[i]; {
		case at == 0:
			s.prints, s.parent, s.good = append(s.prints, p), append(s.parent, from), append(s.good, false)
			s.table[i] = uint32(len(s.prints))
			return uint32(len(s.prints) - 1), true
		case s.prints[at-1] == p:
			return at - 1, false
		}
	}
}

func (s *search) grow() {
	s.table = make([]uint32, 2*len(s.table))
	for n, p := range s.prints {
		i := p[0] & uint64(len(s.table)-1)
		for s.table[i] != 0 {
			i = (i + 1) & uint64(len(s.table)-1)
		}
		s.table[i] = uint32(n + 1)
	}
}

// stuck looks, backwards from the good states, for one that reaches none of them.
func (s *search) stuck() (at uint32, found bool) {
	start := make([]uint32, len(s.prints)+1)
	for _, e := range s.back {
		start[e[0]+1]++
	}
	for i := range len(s.prints) {
		start[i+1] += start[i]
	}
	from := make([]uint32, len(s.back))
	fill := append([]uint32(nil), start...)
	for _, e := range s.back {
		from[fill[e[0]]] = e[1]
		fill[e[0]]++
	}
	var todo []uint32
	for i, g := range s.good {
		if g {
			todo = append(todo, uint32(i))
		}
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, f := range from[start[i]:start[i+1]] {
			if !s.good[f] {
				s.good[f] = true
				todo = append(todo, f)
			}
		}
	}
	for i, g := range s.good {
		if !g {
			return uint32(i), true
		}
	}
	return 0, false
}

// result replays the way to the state at, with names that do not change on the way.
func (s *search) result(v violation, at uint32) Result {
	res := Result{States: len(s.prints), Steps: s.steps, Found: v}
	var way []uint32
	for at != 0 {
		way = append(way, at)
		at = s.parent[at]
	}
	state := s.x.first()
	t := newTeller(s.x.tidy(&state))
	for i := len(way) - 1; i >= 0; i-- {
		for _, st := range append([]step(nil), s.x.steps(&state)...) {
			n := st.next
			named := s.x.tidy(&n)
			if s.print(&n) == s.prints[way[i]] {
				res.Trace = append(res.Trace, t.tell(st))
				t.rename(named, &n)
				state = n
				break
			}
		}
	}
	return res
}

func (s *search) print(n *State) fingerprint {
	return fingerprint{maphash.Comparable(s.seeds[0], *n), maphash.Comparable(s.seeds[1], *n)}
}

// teller gives everything the name it had first.
type teller struct {
	relay  [relays]string
	worker [workers]string
	job    [jobs]string
	id     [ids + 1]string
	given  int
}

func newTeller(n names) *teller {
	t := &teller{relay: [relays]string{"A", "B"}, worker: [workers]string{"V", "W"}, job: [jobs]string{"x", "y"}}
	t.rename(n, nil)
	return t
}

func (t *teller) tell(st step) string {
	name := func(d int) string {
		if t.id[d] == "" && d != 0 {
			t.given++
			t.id[d] = fmt.Sprint(t.given)
		}
		return t.id[d]
	}
	var set []string
	for j := range jobs {
		if jobSet(st.who.j).has(j) {
			set = append(set, t.job[j])
		}
	}
	if set == nil {
		set = []string{"nothing"}
	}
	return strings.NewReplacer("{r}", t.relay[st.who.r], "{w}", t.worker[st.who.w], "{d}", name(st.who.d), "{e}", name(st.who.e),
		"{j}", strings.Join(set, "+")).Replace(st.text)
}

// rename follows what tidy did.
func (t *teller) rename(n names, s *State) {
	was := *t
	for i := range relays {
		t.relay[n.relays[i]] = was.relay[i]
	}
	for i := range workers {
		t.worker[n.workers[i]] = was.worker[i]
	}
	for i := range jobs {
		t.job[n.jobs[i]] = was.job[i]
	}
	for d := 1; d <= ids; d++ {
		t.id[n.ids[d]] = was.id[d]
	}
	if s == nil {
		return
	}
	for d, used := range references(s) {
		if !used {
			t.id[d] = ""
		}
	}
}

// millions writes a number for people.
func millions(n int) string {
	if bits.Len(uint(n)) < 20 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%.1f M", float64(n)/1e6)
}
