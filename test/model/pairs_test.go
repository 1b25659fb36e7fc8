package model

import (
	"reflect"
	"testing"
)

// pairs are all pairs of faults, with one job, one relay and two workers. The two
// halves of a cancel and redrive count as one fault.
func pairs() (list []Scenario) {
	kinds := reflect.TypeFor[Faults]().NumField()
	for a := range kinds {
		for b := a; b < kinds; b++ {
			c := Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Epochs: 4}
			f := reflect.ValueOf(&c.Faults).Elem()
			for _, i := range []int{a, b} {
				f.Field(i).SetInt(1)
			}
			c.Faults.Redrive = max(c.Faults.Redrive, c.Faults.Cancel)
			c.Begins, c.Late = c.Faults.Release > 0, c.Faults.RedisJump > 0
			list = append(list, c)
		}
	}
	return list
}

// remains reports whether docs/protocol.md says that a pair is not excluded.
func (c Scenario) remains() bool {
	for _, r := range remaining {
		if r.cfg.Faults == c.Faults {
			return true
		}
	}
	return false
}

func TestProtocol_HoldsUnderEveryPair(t *testing.T) {
	t.Parallel()
	states := 0
	for _, c := range pairs() {
		if race || c.remains() || c.Faults.Split > 0 && c.Faults.Tail > 0 {
			continue // a split brain of both servers is too wide for this
		}
		r := Run(c, everyRule, most)
		states += r.States
		if r.Found != none || r.Limited {
			t.Errorf("Run(%s) = %s, limited %v, want none\n%s", c.name(), r.Found, r.Limited, list(r.Trace))
		}
	}
	t.Logf("%d pairs, %s states", len(pairs()), millions(states))
}
