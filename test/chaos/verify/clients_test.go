package verify

import (
	"strings"
	"testing"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// told adds what a client was told of a lease.
func (s *script) told(word history.Word, id, dispatch int64, how string) *script {
	return s.act(history.Act{Word: word, ID: id, Dispatch: dispatch, Proc: "c1", PID: 7, How: how, Target: "serve-1"})
}

func TestClients_WereToldTheTruth(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(s *script)
		want  string // of the finding, "" is none
	}{
		{"what counts", func(s *script) {
			s.told(history.Settled, 1, 10, "completed").told(history.Settled, 2, 20, "completed").told(history.Settled, 4, 11, "queued")
		}, ""},
		{"the same answer twice", func(s *script) {
			s.told(history.Settled, 1, 10, "completed").told(history.Settled, 1, 10, "completed")
		}, ""},
		{"a stale ack is refused", func(s *script) { s.told(history.Refused, 2, 10, "ack") }, ""},
		{"a nack that is sent again is refused", func(s *script) { s.told(history.Refused, 4, 11, "nack") }, ""},
		{"a stale ack is accepted", func(s *script) { s.told(history.Settled, 2, 10, "completed") },
			"client: c1 was told that job 2 is completed under dispatch 10 by serve-1, and it is not"},
		{"two of one job win", func(s *script) {
			s.told(history.Settled, 2, 20, "completed").told(history.Settled, 2, 10, "completed")
		}, "client: c1 and c1 both were told that job 2 is completed, under dispatch 20 and 10"},
		{"a nack is believed that was not taken", func(s *script) { s.told(history.Settled, 1, 10, "queued") },
			"client: c1 was told that job 1 is queued under dispatch 10 by serve-1, and it is not"},
		{"an ack is refused and counts", func(s *script) { s.told(history.Refused, 1, 10, "ack") },
			"client: c1 was told by serve-1 that its lease of job 1 (dispatch 10) is lost, and its ack has counted"},
		{"an ack by the name it had before it was moved", func(s *script) {
			s.Changes[0].WasDispatch, s.Changes[0].Dispatch = 15, 15
			s.change(1, "dispatched", "dispatched", 10, 15, 1, 0, 0)
			s.told(history.Settled, 1, 10, "completed").told(history.Refused, 1, 10, "ack")
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sound()
			c.plant(s)
			found := Check(&s.Facts).Findings
			if c.want == "" && len(found) > 0 || c.want != "" && !strings.Contains(strings.Join(found, "\n"), c.want) {
				t.Errorf("Check = %q, want %q", found, c.want)
			}
		})
	}
}
