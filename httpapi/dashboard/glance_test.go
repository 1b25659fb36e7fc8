package dashboard

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// What others do changes nothing of a glance of some queues, and so tells their streams
// nothing; what is done in one of these does.
func TestGlance_OfSomeQueues(t *testing.T) {
	t.Parallel()
	house := func(mine, theirs int64) glance {
		return glance{
			Queues: []job.QueueStats{{Queue: job.Queue{Name: "mine.a"}, Ready: mine}, {Queue: job.Queue{Name: "theirs.b"}, Ready: theirs}},
			Processes: []job.ProcessState{
				{ID: "r", Role: "relay", Host: "h", Epochs: map[string]int64{"theirs.b": 1}},
				{ID: "w", Role: "worker", Queues: []string{"mine.a", "theirs.b"}, Slots: 5, Running: []job.Ref{{ID: theirs}}, Epochs: map[string]int64{"theirs.b": 1}},
				{ID: "x", Role: "worker", Queues: []string{"theirs.b"}},
			},
			Dead: theirs, Trail: []sample{{ready: theirs}},
		}
	}
	some := []string{"mine.*"}
	seen := house(1, 1).of(some, 7)
	want := glance{
		Queues:    []job.QueueStats{{Queue: job.Queue{Name: "mine.a"}, Ready: 1}},
		Processes: []job.ProcessState{{Role: "relay"}, {ID: "w", Role: "worker", Queues: []string{"mine.a"}, Epochs: map[string]int64{}}},
		Dead:      7,
	}
	if diff := cmp.Diff(want, seen, cmp.AllowUnexported(glance{}, sample{})); diff != "" {
		t.Errorf("of mine.* (-want +got):\n%s", diff)
	}
	if !seen.like(house(1, 99).of(some, 7)) {
		t.Error("a change of another's queue is seen")
	}
	if seen.like(house(2, 1).of(some, 7)) || seen.like(house(1, 1).of(some, 8)) {
		t.Error("a change of one's own queue is not seen")
	}
	if seen.alive("relay") != 1 {
		t.Errorf("%d relays live, want 1: it is no secret that one does", seen.alive("relay"))
	}
}
