package relay

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// key is a place in outbox.ready.
type key struct {
	priority int16
	id       int64
}

func (k key) in(s job.Span) bool {
	above := k.priority > s.LoPriority || k.priority == s.LoPriority && k.id > s.LoID
	return above && k.priority <= s.HiPriority
}

// reads says how many of the spans have k.
func reads(spans []job.Span, k key) (n int) {
	for _, s := range spans {
		if k.in(s) {
			n++
		}
	}
	return n
}

func took(priority int16, ids ...int64) (jobs []job.Envelope) {
	for _, id := range ids {
		jobs = append(jobs, job.Envelope{ID: id, Priority: priority})
	}
	return jobs
}

func TestSkip_CheapClaimsReadEverything(t *testing.T) {
	t.Parallel()
	var s skip
	for i := range 5 {
		now := epochOfTests.Add(time.Duration(i) * time.Hour)
		spans, full := s.spans(now, job.MaxPriority)
		if !full || len(spans) != 1 || reads(spans, key{job.LostPriority, 1}) != 1 || reads(spans, key{job.MaxPriority, 1}) != 1 {
			t.Fatalf("spans(%d) = %v, %v; want everything in one", i, spans, full)
		}
		s.took(now, true, time.Millisecond, took(100, int64(i)), false)
	}
}

// Everything is read but what was taken before the last rotation: at random places,
// the spans and the taken parts make up the whole key space, once.
func TestSkip_SpansAndTrailAreTheWholeKeySpace(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		now := epochOfTests
		var s skip
		s.took(now, true, time.Second, nil, false)
		for range r.IntN(12) {
			s.took(now, false, 0, took(int16(r.IntN(1001)), 1+r.Int64N(1000)), false)
		}
		now = now.Add(skipRotation + 1)
		hi := int16(r.IntN(1001))
		spans, full := s.spans(now, hi)
		if full {
			t.Fatalf("seed %d: a full read inside the pause", seed)
		}
		check := func(k key) {
			t.Helper()
			want := 0
			if taken, ok := s.trail[k.priority]; k.priority <= hi && (!ok || k.id > taken) {
				want = 1
			}
			if got := reads(spans, k); got != want {
				t.Fatalf("seed %d: %+v is read %d times, want %d; hi %d, trail %v, spans %v", seed, k, got, want, hi, s.trail, spans)
			}
		}
		for p, id := range s.trail {
			for _, d := range []int64{-1, 0, 1} {
				check(key{p, id + d})
			}
			check(key{p - 1, 1})
			check(key{min(p+1, job.MaxPriority), 1})
		}
		for range 200 {
			check(key{int16(r.IntN(1002)) + job.LostPriority, 1 + r.Int64N(1100)})
		}
		check(key{job.LostPriority, 1})
		check(key{hi, 1 << 60})
		for i := 1; i < len(spans); i++ {
			if spans[i].LoPriority < spans[i-1].HiPriority {
				t.Fatalf("seed %d: spans out of order: %v", seed, spans)
			}
		}
	}
}

func TestSkip_FullReadsTakeAtMostATwentiethOfTheTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ read, pause time.Duration }{
		{4 * time.Millisecond, time.Second}, // 1 ms is the claim itself
		{50 * time.Millisecond, time.Second},
		{200 * time.Millisecond, 4 * time.Second},
	} {
		var s skip
		s.took(epochOfTests, true, tt.read, nil, false)
		if _, full := s.spans(epochOfTests.Add(tt.pause-1), job.MaxPriority); full {
			t.Errorf("read of %s: the next one came before %s", tt.read, tt.pause)
		}
		if _, full := s.spans(epochOfTests.Add(tt.pause), job.MaxPriority); !full {
			t.Errorf("read of %s: no other after %s", tt.read, tt.pause)
		}
	}
}

func TestSkip_FullReadThatIsCheapEndsIt(t *testing.T) {
	t.Parallel()
	var s skip
	s.took(epochOfTests, true, time.Second, nil, false)
	s.took(epochOfTests.Add(time.Minute), true, time.Millisecond, nil, false)
	if _, full := s.spans(epochOfTests.Add(time.Minute+1), job.MaxPriority); !full {
		t.Error("the old snapshot has gone, and parts are still skipped")
	}
}

func TestSkip_BatchThatTakesLongBecauseItIsLargeIsNoWaste(t *testing.T) {
	t.Parallel()
	var s skip
	s.took(epochOfTests, true, 12*time.Millisecond, make([]job.Envelope, job.MaxBatch), false)
	if _, full := s.spans(epochOfTests, job.MaxPriority); !full {
		t.Error("500 jobs in 12 ms passed for an old snapshot")
	}
}

// A producer draws its id before it commits: id 7 may appear after id 8 was taken.
func TestSkip_LateCommitterOfTheLastRotationIsRead(t *testing.T) {
	t.Parallel()
	var s skip
	now := epochOfTests
	s.took(now, true, time.Millisecond, took(100, 5), false) // long ago, and cheap
	now = now.Add(time.Hour)
	s.took(now, true, time.Second, took(100, 8), false) // the old snapshot begins
	now = now.Add(5 * time.Millisecond)
	spans, full := s.spans(now, job.MaxPriority)
	if full || reads(spans, key{100, 7}) != 1 {
		t.Errorf("5 ms after 8 was taken: spans = %v, %v; want them to have 7", spans, full)
	}
	now = now.Add(skipRotation)
	s.took(now, false, 0, took(100, 9), false)
	if spans, _ = s.spans(now.Add(1), job.MaxPriority); reads(spans, key{100, 9}) != 0 && reads(spans, key{100, 7}) != 0 {
		t.Errorf("a rotation later: spans = %v still have 7", spans)
	}
}

// While batches are full what was taken is not read again for a tenth of a second, and
// then everything is; a batch that is not full ends it.
func TestSkip_BacklogIsReadFromWhereItStands(t *testing.T) {
	t.Parallel()
	var s skip
	now, id := epochOfTests, int64(0)
	fulls, skipped := 0, 0
	for range 1000 { // a claim every ms
		now = now.Add(time.Millisecond)
		spans, full := s.spans(now, job.MaxPriority)
		if full {
			fulls++
		}
		if reads(spans, key{100, 1}) == 0 {
			skipped++
		}
		if reads(spans, key{100, id + 1}) != 1 || reads(spans, key{0, 1}) != 1 || reads(spans, key{job.LostPriority, 1}) != 1 {
			t.Fatalf("spans = %v do not have the next job, an urgent one, a lost one", spans)
		}
		id += 500
		s.took(now, full, time.Millisecond, took(100, id), true)
	}
	if fulls < 9 || fulls > 11 || skipped < 850 {
		t.Errorf("of 1,000 claims %d read everything and %d skipped what was taken, want 10 and 880 or so", fulls, skipped)
	}
	now = s.fullAt
	s.took(now, true, time.Millisecond, took(100, id+1), false)
	if spans, full := s.spans(now.Add(1), job.MaxPriority); !full || reads(spans, key{100, 1}) != 1 {
		t.Error("the backlog has ended, and parts are still skipped")
	}
}

// A queue that is empty but for dead entries is read as a whole a fifth of the time at most.
func TestSkip_EmptyPartsAreNoReasonToReadEverythingAgainAndAgain(t *testing.T) {
	t.Parallel()
	var s skip
	now, read := epochOfTests, 200*time.Millisecond
	s.took(now, true, read, nil, false)
	if s.readAll(now.Add(skipEmpty*read - 1)) {
		t.Errorf("everything is read again %s after a read of %s", skipEmpty*read-1, read)
	}
	now = now.Add(skipEmpty * read)
	if !s.readAll(now) {
		t.Errorf("nothing is read %s after a read of %s", skipEmpty*read, read)
	}
	if _, full := s.spans(now, job.MaxPriority); !full {
		t.Error("the next claim reads a part")
	}
	s.took(now, true, time.Millisecond, took(100, 1), true) // quick: there is no old snapshot, only a backlog
	if !s.readAll(now) {
		t.Error("a backlog that has just ended is not read as a whole at once")
	}
}
