package verify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// A job that had its worker killed four times is dead as promised; one that had not is
// lost.
func TestCheck_ExplainsPoisonByKills(t *testing.T) {
	play := func(kills int, losses int16) *Facts {
		s := &script{}
		s.committed("a", 1)
		for i := range 4 {
			dispatch, proc := int64(10+i), fmt.Sprint("w", i)
			s.change(1, "queued", "dispatched", dispatch, dispatch, int32(i+1), 0, int16(i)).ran(history.Started, "a", 1, dispatch, proc, "")
			if i < kills {
				s.act(history.Act{Word: history.Killed, Proc: proc, PID: 7, Target: "worker"})
			}
			s.act(history.Act{Word: history.Ended, Proc: proc, PID: 7, Target: "worker"})
			becomes := "queued"
			if i == 3 {
				becomes = "dead"
			}
			s.change(1, "dispatched", becomes, dispatch, dispatch, int32(i+1), 0, int16(i+1))
		}
		s.Jobs = []Job{{ID: 1, Key: "a", Status: "dead", Dispatch: 13, Attempts: 4, Losses: losses, Error: "poison pill"}}
		s.Window = 100
		return &s.Facts
	}
	for _, c := range []struct {
		name           string
		facts          *Facts
		lost, poisoned int
	}{
		{"four kills", play(4, 4), 0, 1},
		{"three kills, and one that ended by itself", play(3, 4), 1, 0},
		{"dead after three losses", play(4, 3), 1, 0},
	} {
		got := Check(c.facts)
		if got.Lost != c.lost || got.Poisoned != c.poisoned {
			t.Errorf("%s: lost %d, poisoned %d, want %d, %d; findings: %s", c.name, got.Lost, got.Poisoned, c.lost, c.poisoned, strings.Join(got.Findings, "; "))
		}
	}
}
