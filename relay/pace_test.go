package relay

import (
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

var epochOfTests = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestPace_GoesHotWhenJobsComeDensely(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		finds int
		jobs  int           // in each
		over  time.Duration // from the first to the last
		hot   bool
	}{
		{"one", 1, 1, 0, false},
		{"24 in one", 1, 24, 0, false},
		{"25 in one", 1, 25, 0, true},
		{"24 at once", 24, 1, 0, false},
		{"25 at once", 25, 1, 0, true},
		{"25 over 50 ms", 25, 1, 50 * time.Millisecond, true},
		{"25 over 51 ms", 25, 1, 51 * time.Millisecond, false},
		{"160 over 800 ms, 200 a second", 160, 1, 800 * time.Millisecond, false},
		{"800 over 800 ms, 1,000 a second", 800, 1, 800 * time.Millisecond, true},
	} {
		var p pace
		closed := false
		for i := range tt.finds {
			at := epochOfTests
			if tt.finds > 1 {
				at = at.Add(tt.over * time.Duration(i) / time.Duration(tt.finds-1))
			}
			_, closeGate, openGate := p.next(at, find{jobs: tt.jobs, nextIn: job.Never})
			closed = closed || closeGate
			if openGate {
				t.Errorf("%s: find %d opened the gate", tt.name, i+1)
			}
		}
		if closed != tt.hot || (p.mood == hot) != tt.hot {
			t.Errorf("%s: hot = %v, gate closed = %v, want both %v", tt.name, p.mood == hot, closed, tt.hot)
		}
	}
}

func TestPace_GoesHotAfterOneFullBatch(t *testing.T) {
	t.Parallel()
	var p pace
	wait, closeGate, _ := p.next(epochOfTests, find{jobs: 500, full: true, nextIn: job.Never})
	if wait != 0 || !closeGate || p.mood != hot {
		t.Errorf("next(full) = %s, close %v, mood %d; want 0s, true, hot", wait, closeGate, p.mood)
	}
}

// steps feeds p one find after another, and returns what it waits for.
func steps(p *pace, f find, n int) (waits []time.Duration, opened int) {
	for range n {
		wait, _, open := p.next(epochOfTests, f)
		waits = append(waits, wait)
		if open {
			opened = len(waits)
		}
	}
	return waits, opened
}

func TestPace_CoolsByDoublingThenOpensTheGate(t *testing.T) {
	t.Parallel()
	var p pace
	p.next(epochOfTests, find{jobs: 500, full: true, nextIn: job.Never})
	first, _, _ := p.next(epochOfTests, find{jobs: 1, nextIn: job.Never})
	waits, opened := steps(&p, find{nextIn: job.Never}, 5)
	want := []time.Duration{2 * time.Millisecond, 4 * time.Millisecond, 8 * time.Millisecond, horizonEvery, horizonEvery}
	if first != time.Millisecond {
		t.Errorf("after a find while hot: wait = %s, want 1ms", first)
	}
	for i := range want {
		if waits[i] != want[i] {
			t.Errorf("wait %d = %s, want %s", i, waits[i], want[i])
		}
	}
	if opened != 4 || p.mood != drowsy {
		t.Errorf("gate opened at step %d, mood %d; want 4, drowsy", opened, p.mood)
	}
	if wait, _, _ := p.next(epochOfTests.Add(horizonLong+time.Millisecond), find{nextIn: job.Never}); wait != horizonSlow {
		t.Errorf("after a long drowsiness: wait = %s, want %s", wait, horizonSlow)
	}
	p.sleep()
	if wait, _, _ := p.next(epochOfTests, find{nextIn: job.Never}); wait != safetyPoll {
		t.Errorf("asleep: wait = %s, want %s", wait, safetyPoll)
	}
}

func TestPace_SleepOnlyFromDrowsy(t *testing.T) {
	t.Parallel()
	p := pace{mood: hot}
	if p.sleep(); p.mood != hot {
		t.Error("sleep() while hot fell asleep with the gate closed")
	}
}

func TestPace_DrowsyWakesUpAgain(t *testing.T) {
	t.Parallel()
	p := pace{mood: drowsy, drowse: epochOfTests}
	if _, closeGate, _ := p.next(epochOfTests, find{jobs: 500, full: true, nextIn: job.Never}); !closeGate || p.mood != hot {
		t.Errorf("full batch while drowsy: close %v, mood %d; want true, hot", closeGate, p.mood)
	}
}

// The gate stays closed while a backlog is at its window, so the producers of other queues
// stay mute, and somebody must look after them.
func TestPace_BlockedQueueKeepsItHot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mood mood
		jobs int
		want time.Duration
	}{
		{asleep, 0, depthPoll},
		{drowsy, 0, horizonEvery},
		{hot, 0, blockedMost},
		{hot, 1, hottest},
	} {
		p := pace{mood: tt.mood, drowse: epochOfTests, step: coolest}
		wait, _, open := p.next(epochOfTests, find{jobs: tt.jobs, blocked: true, nextIn: job.Never})
		if wait != tt.want || open {
			t.Errorf("mood %d, %d jobs, blocked: wait %s, open %v; want %s, false", tt.mood, tt.jobs, wait, open, tt.want)
		}
	}
}

// A batch that nobody waited for is on its way: what it brings is not known yet.
func TestPace_BatchOnItsWayKeepsItHot(t *testing.T) {
	t.Parallel()
	for mood, want := range map[mood]time.Duration{asleep: depthPoll, drowsy: horizonEvery, hot: blockedMost} {
		p := pace{mood: mood, drowse: epochOfTests, step: coolest}
		if wait, _, open := p.next(epochOfTests, find{busy: true, nextIn: job.Never}); wait != want || open {
			t.Errorf("mood %d, busy: wait %s, open %v; want %s, false", mood, wait, open, want)
		}
	}
}

func TestPace_NextScheduledJobCapsTheWait(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ nextIn, want time.Duration }{
		{job.Never, safetyPoll},
		{safetyPoll + 1, safetyPoll},
		{300 * time.Millisecond, 300 * time.Millisecond},
		{0, 0},
		{-time.Hour, 0},
	} {
		var p pace
		if wait, _, _ := p.next(epochOfTests, find{nextIn: tt.nextIn}); wait != tt.want {
			t.Errorf("next job in %s: wait = %s, want %s", tt.nextIn, wait, tt.want)
		}
	}
}
