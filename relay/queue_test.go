package relay

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// heardQueue is a queue in epoch 1 whose depth has just been heard.
func heardQueue(window int, depth int64) *queue {
	q := newQueue(job.Queue{Name: "q", WindowSize: window, Epoch: 1, Life: "pg:1"}, epochOfTests)
	q.window.answered(epochOfTests, epochOfTests, 0, depth, 1_000_000)
	return q
}

func TestQueue_Credit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		depth int64
		with  func(*queue)
		at    time.Duration
		limit int
		hi    int16
	}{
		{name: "empty", limit: 500, hi: job.MaxPriority},
		{name: "one above the reserve", depth: 899, limit: 1, hi: job.MaxPriority},
		{name: "the reserve is for the high band", depth: 900, limit: 100, hi: job.HighMax},
		{name: "last place", depth: 999, limit: 1, hi: job.HighMax},
		{name: "at the window", depth: 1000},
		{name: "above the window", depth: 1400},
		{name: "others count", depth: 400, with: func(q *queue) { q.others = 300 }, limit: 200, hi: job.MaxPriority},
		{name: "others fill it", depth: 400, with: func(q *queue) { q.others = 600 }},
		{name: "unpushed count", with: func(q *queue) { q.batches.refused(7, 500, epochOfTests); q.batches.refused(8, 300, epochOfTests) }, limit: 100, hi: job.MaxPriority},
		{name: "halved limit", with: func(q *queue) { q.claims.limit = 3 }, limit: 3, hi: job.MaxPriority},
		{name: "depth a second old", at: depthAge, limit: 500, hi: job.MaxPriority},
		{name: "depth too old", at: depthAge + 1},
		{name: "never heard", with: func(q *queue) { q.window.heard = time.Time{} }},
	} {
		q := heardQueue(1000, tt.depth)
		if tt.with != nil {
			tt.with(q)
		}
		limit, hi := q.creditLocked(epochOfTests.Add(tt.at))
		if limit != tt.limit || hi != tt.hi {
			t.Errorf("%s: credit = %d down to %d, want %d down to %d", tt.name, limit, hi, tt.limit, tt.hi)
		}
	}
}

// What another relay has recovered in the meantime must not cost credit for ever.
func TestQueue_UnpushedOfLongAgoCountsAmongTheOthers(t *testing.T) {
	t.Parallel()
	q := heardQueue(1000, 0)
	q.batches.refused(7, 500, epochOfTests)
	later := epochOfTests.Add(unpushedAge + 1)
	q.window.answered(later, later, 0, 0, 1_000_000)
	if limit, _ := q.creditLocked(later); limit != 500 {
		t.Errorf("credit long after a refused push = %d, want 500", limit)
	}
	if len(q.batches.unpushed) != 0 {
		t.Errorf("unpushed = %v, want it forgotten", q.batches.unpushed)
	}
}

func TestQueue_NewEpochForgetsTheWindow(t *testing.T) {
	t.Parallel()
	q := heardQueue(1000, 400)
	q.window.seq, q.settling.expected = 9, false
	q.batches.pushed, q.batches.old = []job.Recorded{{DispatchID: 1, Seq: 9}}, []oldBatch{{id: 2}}
	q.batches.refused(3, 10, epochOfTests)
	q.adoptLocked(job.Queue{Name: "q", WindowSize: 1000, Epoch: 2, Life: "pg:1"}, "pg:1", epochOfTests, epochOfTests.Add(time.Second))
	b := q.believeLocked()
	if b.open || b.epoch != 2 || b.seq != 0 || len(q.batches.pushed)+len(q.batches.old)+len(q.batches.unpushed) != 0 || !q.settling.expected || !q.window.contact.since.IsZero() {
		t.Errorf("after a new epoch: %+v, %+v", b, q)
	}
}

func TestQueue_LowerEpochIsAdoptedUnlessReadBefore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, life string // of the Postgres that answered
		asked      time.Time
		want       int64
	}{
		{"read before the present one began", "pg:1", epochOfTests, 6},
		{"failed over: the standby never had epoch 6", "pg:2", epochOfTests, 5},
		{"put back by hand", "pg:1", epochOfTests.Add(1), 5},
	} {
		q := newQueue(job.Queue{Name: "q", Epoch: 6, Life: "pg:1"}, epochOfTests)
		q.adoptLocked(job.Queue{Name: "q", Epoch: 5, Life: "pg:1"}, tt.life, tt.asked, tt.asked)
		if q.Epoch != tt.want {
			t.Errorf("%s: epoch = %d, want %d", tt.name, q.Epoch, tt.want)
		}
	}
}

func TestQueue_ForgetsOnlyWhatItNamed(t *testing.T) {
	t.Parallel()
	q := heardQueue(1000, 0)
	for id := int64(1); id <= 5; id++ {
		q.batches.recorded([]job.Recorded{{DispatchID: id}}, epochOfTests.Add(time.Duration(id)*time.Second))
	}
	if got := q.batches.forgettable(epochOfTests.Add(forgetAfter)); got != nil {
		t.Errorf("forgettable before a minute = %v, want none", got)
	}
	// A push and a census are under way at once, and name some of the same.
	first := q.batches.forgettable(epochOfTests.Add(forgetAfter + 2*time.Second))
	second := q.batches.forgettable(epochOfTests.Add(forgetAfter + 3*time.Second))
	if diff := cmp.Diff([][]int64{{1, 2}, {1, 2, 3}}, [][]int64{first, second}); diff != "" {
		t.Fatalf("forgettable (-want +got):\n%s", diff)
	}
	q.batches.forgotten(first)
	q.batches.forgotten(second)
	q.batches.forgotten(first)
	var left []int64
	for _, b := range q.batches.old {
		left = append(left, b.id)
	}
	if diff := cmp.Diff([]int64{4, 5}, left); diff != "" {
		t.Errorf("not forgotten (-want +got):\n%s", diff)
	}
}

func TestContact_Unbroken(t *testing.T) {
	t.Parallel()
	const lease = 15 * time.Second
	type reply struct {
		at    time.Duration
		took  time.Duration
		clock time.Duration // Redis' clock minus ours
	}
	steady := func(from, to time.Duration) (out []reply) {
		for at := from; at <= to; at += time.Second {
			out = append(out, reply{at: at})
		}
		return out
	}
	for _, tt := range []struct {
		name    string
		replies []reply
		broken  time.Duration // a failed call then; 0: none
		at      time.Duration
		want    bool
	}{
		{name: "never", at: time.Hour},
		{name: "almost a lease", replies: steady(0, 14*time.Second), at: lease - 1},
		{name: "a lease", replies: steady(0, 15*time.Second), at: lease, want: true},
		{name: "late reply", replies: append(steady(0, 8*time.Second), append([]reply{{at: 11 * time.Second, took: 2*time.Second + 1}}, steady(12*time.Second, 20*time.Second)...)...), at: 20 * time.Second},
		{name: "reply in time", replies: append(steady(0, 8*time.Second), append([]reply{{at: 10 * time.Second, took: 2 * time.Second}}, steady(11*time.Second, 20*time.Second)...)...), at: 20 * time.Second, want: true},
		{name: "gap", replies: append(steady(0, 8*time.Second), steady(13*time.Second+1, 21*time.Second)...), at: 21 * time.Second},
		{name: "silent now", replies: steady(0, 20*time.Second), at: 25*time.Second + 1},
		{name: "clock set forward", replies: append(steady(0, 8*time.Second), reply{at: 9 * time.Second, clock: 1100 * time.Millisecond}, reply{at: 13 * time.Second, clock: 1100 * time.Millisecond}, reply{at: 17 * time.Second, clock: 1100 * time.Millisecond}), at: 20 * time.Second},
		{name: "clock set back", replies: append(steady(0, 8*time.Second), reply{at: 9 * time.Second, clock: -time.Hour}, reply{at: 13 * time.Second, clock: -time.Hour}, reply{at: 17 * time.Second, clock: -time.Hour}), at: 20 * time.Second},
		{name: "failed call", replies: steady(0, 20*time.Second), broken: 10 * time.Second, at: 20 * time.Second},
	} {
		var c contact
		for _, r := range tt.replies {
			if tt.broken != 0 && r.at == tt.broken {
				c.broken()
				continue
			}
			now := clockBase.Add(r.at)
			c.heard(now.Add(-r.took), now, (r.at + r.clock + time.Hour).Milliseconds())
		}
		if got := c.unbroken(clockBase.Add(tt.at), lease); got != tt.want {
			t.Errorf("%s: unbroken = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestContact_SlowDriftDoesNotBreakIt(t *testing.T) {
	t.Parallel()
	var c contact
	for i := range 3600 { // 10 ms a second: 36 s in an hour
		now := clockBase.Add(time.Duration(i) * time.Second)
		c.heard(now, now, int64(i)*1010)
	}
	if !c.unbroken(clockBase.Add(3599*time.Second), time.Hour-time.Second) {
		t.Error("a clock that drifts broke the contact")
	}
}

// Answers of calls that overlap may come in another order than Redis gave them.
func TestQueue_OlderAnswerDoesNotSetTheDepth(t *testing.T) {
	t.Parallel()
	q := heardQueue(100, 0)
	now := epochOfTests.Add(time.Millisecond)
	q.window.answered(epochOfTests, now, 7, 91, 1_000_002)
	q.window.answered(epochOfTests, now, 6, 90, 1_000_001)
	if q.window.seq != 7 || q.window.depth != 91 {
		t.Errorf("heard of 7 batches and depth 91, then of 6 and 90 = %d, %d", q.window.seq, q.window.depth)
	}
}

// A backlog at its window is handed out in batches, not in dribs: after a claim that took
// all the credit the next one waits for a batch's worth, or a while.
func TestQueue_FewCreditsWait(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		window, credit int
		after          time.Duration
		want           bool
	}{
		{10_000, job.MaxBatch - 1, depthPoll - 1, true},
		{10_000, job.MaxBatch, 0, false},
		{10_000, 1, depthPoll, false},
		{100, 24, 0, true},
		{100, 25, 0, false},
		{3, 1, 0, false}, // a window of a few is never few
	} {
		q := heardQueue(tt.window, 0)
		if q.fewLocked(epochOfTests, tt.credit) {
			t.Errorf("%+v: few, though no claim was cut", tt)
		}
		q.claims.cut = epochOfTests
		if got := q.fewLocked(epochOfTests.Add(tt.after), tt.credit); got != tt.want {
			t.Errorf("%+v: few = %v", tt, got)
		}
	}
}
