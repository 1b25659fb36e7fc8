package model

// Window is a model of its own for G6: how many jobs wait in Redis. It counts jobs and
// knows nothing else of them. The backlog never ends.
type Window struct {
	Depth  int8 // waiting in Redis
	Left   int8 // ledger rows without seq, whose relay was killed: how many jobs
	Kills  int8
	Relays [relays]Claimer
}

// Claimer is a relay that claims as it has credit.
type Claimer struct {
	Doing claiming
	Depth int8 // as Redis said last
	Owed  int8 // jobs of others' rows without seq, as Postgres said last
	Batch int8 // claimed
}

type claiming uint8

const (
	asks claiming = iota
	knows
	claimed
	pushed
)

// The rules of the window.
const (
	freshDepth  Rule = "credit is reckoned from a depth that was asked for just before"
	countsOwed  Rule = "jobs of ledger rows without seq count against the window"
	windowSize       = 4
	windowBatch      = 2
)

// Overflow searches for the most jobs that Redis may hold. G6 allows the window and
// one batch for each relay.
func Overflow(removed Rule) (most int8, states int) {
	first := Window{Kills: 4}
	seen := map[Window]bool{first: true}
	todo := []Window{first}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		most = max(most, s.Depth)
		for _, n := range s.steps(removed) {
			if !seen[n] && n.Depth <= 2*(windowSize+relays*windowBatch) {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return most, len(seen)
}

func (s Window) steps(removed Rule) (out []Window) {
	if s.Depth > 0 {
		n := s
		n.Depth-- // a worker takes
		out = append(out, n)
	}
	for r := range s.Relays {
		n := s
		c := &n.Relays[r]
		switch c.Doing {
		case asks:
			*c = Claimer{Doing: knows, Depth: s.Depth, Owed: s.Left}
			for o := range s.Relays {
				if o != r && s.Relays[o].Doing == claimed {
					c.Owed += s.Relays[o].Batch
				}
			}
			out = append(out, n)
			if s.Left > 0 { // recovery asks for no credit: the jobs are out already
				n = s
				n.Relays[r] = Claimer{Doing: claimed, Batch: min(s.Left, windowBatch)}
				n.Left -= n.Relays[r].Batch
				out = append(out, n)
			}
		case knows:
			credit := windowSize - c.Depth
			if removed != countsOwed {
				credit -= c.Owed
			}
			if c.Batch = min(credit, windowBatch); c.Batch > 0 {
				c.Doing = claimed
			} else {
				*c = Claimer{}
			}
			out = append(out, n)
		case claimed:
			n.Depth += c.Batch
			c.Doing = pushed
			out = append(out, n)
			if s.Kills > 0 {
				n = s
				n.Kills--
				n.Left += n.Relays[r].Batch
				n.Relays[r] = Claimer{}
				out = append(out, n)
			}
		case pushed:
			c.Batch, c.Doing = 0, asks
			if removed == freshDepth {
				c.Doing = knows
			} else {
				*c = Claimer{}
			}
			out = append(out, n)
		}
	}
	return out
}
