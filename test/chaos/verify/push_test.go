package verify

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// comes adds a delivery to r1, from the push worker that is called back at sender, with a
// deadline in 30 s.
func (s *script) comes(key string, id, dispatch int64, attempt int32, sender string) *script {
	return s.act(history.Act{
		Word: history.Started, Key: key, ID: id, Dispatch: dispatch, Attempt: attempt, Proc: "r1", PID: 9,
		Queue: "q", Target: sender, Due: (s.second + 31) * 1_000_000,
	})
}

// receives adds what r1 does with a delivery.
func (s *script) receives(word history.Word, id, dispatch int64, how string) *script {
	return s.act(history.Act{Word: word, ID: id, Dispatch: dispatch, Proc: "r1", PID: 9, How: how})
}

func (s *script) handedOut(id, dispatch int64, attempt int32, failures, losses int16) *script {
	return s.change(id, "queued", "dispatched", 0, dispatch, attempt, failures, losses)
}

// soundPush is a history of pushed jobs that explains itself. Job a was answered with 200.
// Job b failed, came again, was extended and called back about. Job c was open when its
// push worker was killed; it came again, and what was said of it before was refused. Job
// d was refused by its receiver. They came one after the other, c twice at once.
func soundPush() *script {
	s := &script{}
	s.Endpoints = map[string]Endpoint{"q": {Receiver: "r1", Link: "e1", InFlight: 2}}
	s.act(history.Act{Word: history.Up, Proc: "p1", PID: 7, How: "one", Target: "push"}).act(history.Act{Word: history.Up, Proc: "p2", PID: 8, How: "two", Target: "push"})
	s.committed("a", 1).committed("b", 2).committed("c", 3).committed("d", 4)
	for i := range s.Acts {
		s.Acts[i].Most = 2
		if s.Acts[i].Key == "d" {
			s.Acts[i].Want = "dead"
		}
	}
	s.handedOut(1, 10, 1, 0, 0).comes("a", 1, 10, 1, "one").receives(history.Answered, 1, 10, "200").receives(history.Finished, 1, 10, "ok")
	s.change(1, "dispatched", "completed", 10, 10, 1, 0, 0)
	s.handedOut(2, 20, 1, 0, 0).comes("b", 2, 20, 1, "one").receives(history.Answered, 2, 20, "500").receives(history.Finished, 2, 20, "failed")
	s.change(2, "dispatched", "queued", 20, 20, 1, 1, 0).handedOut(2, 21, 2, 1, 0).comes("b", 2, 21, 2, "two").receives(history.Answered, 2, 21, "202")
	s.act(history.Act{Word: history.Extended, ID: 2, Dispatch: 21, Proc: "r1", PID: 9, Due: (s.second + 60) * 1_000_000})
	s.receives(history.Finished, 2, 21, "ok").change(2, "running", "completed", 21, 21, 2, 1, 0).receives(history.Settled, 2, 21, "completed")
	s.handedOut(3, 30, 1, 0, 0).comes("c", 3, 30, 1, "one").receives(history.Answered, 3, 30, "202")
	s.act(history.Act{Word: history.Killed, Proc: "p1", PID: 7, Target: "push"}).change(3, "running", "queued", 30, 30, 1, 0, 1)
	s.handedOut(3, 31, 2, 0, 1).comes("c", 3, 31, 2, "two").receives(history.Finished, 3, 30, "ok").receives(history.Refused, 3, 30, "ack")
	s.receives(history.Answered, 3, 31, "200").receives(history.Finished, 3, 31, "ok").change(3, "running", "completed", 31, 31, 2, 0, 1)
	s.handedOut(4, 40, 1, 0, 0).comes("d", 4, 40, 1, "two").receives(history.Answered, 4, 40, "422").receives(history.Finished, 4, 40, "refused")
	s.change(4, "dispatched", "dead", 40, 40, 1, 1, 0)
	s.Jobs = []Job{
		{ID: 1, Key: "a", Queue: "q", Status: "completed"}, {ID: 2, Key: "b", Queue: "q", Status: "completed", Failures: 1},
		{ID: 3, Key: "c", Queue: "q", Status: "completed", Losses: 1}, {ID: 4, Key: "d", Queue: "q", Status: "dead", Failures: 1},
	}
	s.Attempts = []Attempt{{ID: 2, Attempt: 1, Outcome: "fail"}, {ID: 3, Attempt: 1, Outcome: "lose"}, {ID: 4, Attempt: 1, Outcome: "discard"}}
	return s
}

// of returns the act of a word about a dispatch.
func (s *script) of(word history.Word, dispatch int64) *history.Act {
	i := slices.IndexFunc(s.Acts, func(a history.Act) bool { return a.Word == word && a.Dispatch == dispatch })
	return &s.Acts[i]
}

func (s *script) ends(dispatch int64) *Change {
	i := slices.IndexFunc(s.Changes, func(c Change) bool { return c.WasDispatch == dispatch && out(c.Was) && !out(c.Becomes) })
	return &s.Changes[i]
}

func TestPush_OnlyWhatReceiversSaid(t *testing.T) {
	drop := func(s *script, word history.Word, dispatch int64) {
		s.Acts = slices.DeleteFunc(s.Acts, func(a history.Act) bool { return a.Word == word && a.Dispatch == dispatch })
	}
	fails := func(s *script, dispatch int64) { // an attempt that was completed has failed
		c := s.ends(dispatch)
		c.Becomes, c.Failures = "queued", 1
		s.Attempts = append(s.Attempts, Attempt{ID: c.ID, Attempt: c.Attempt, Outcome: "fail"})
	}
	during := func(s *script, dispatch int64, a history.Act) { // while a delivery was at its receiver
		s.at(s.of(history.Started, dispatch).Mono/1_000_000_000, a)
	}
	for _, c := range []struct {
		name  string
		plant func(s *script)
		want  string // of a finding, "" is none
	}{
		{"nothing", func(*script) {}, ""},
		{"completed before its receiver had answered", func(s *script) { drop(s, history.Finished, 10) },
			`phantom: job 1 is completed under dispatch 10, and its receiver answered "200", and meant ""`},
		{"completed though its receiver said it failed", func(s *script) { s.of(history.Finished, 10).How = "failed" }, "phantom: job 1 is completed"},
		{"completed, and it never came", func(s *script) {
			for _, word := range []history.Word{history.Started, history.Answered, history.Finished} {
				drop(s, word, 10)
			}
		}, "phantom: job 1 is completed under dispatch 10, and it never came to its receiver"},
		{"completed after the deadline, by a receiver that was late", func(s *script) { s.of(history.Finished, 10).How = "late" }, ""},
		{"the callback of an attempt that was lost counts for the next", func(s *script) {
			drop(s, history.Finished, 31)
			s.of(history.Refused, 30).Word = history.Settled
			s.of(history.Settled, 30).How = "completed"
		}, "phantom: job 3 is completed under dispatch 31"},
		{"and is believed", func(s *script) {
			*s.of(history.Refused, 30) = history.Act{Word: history.Settled, ID: 3, Dispatch: 30, How: "completed", Proc: "r1"}
		}, "client: r1 was told that job 3 is completed under dispatch 30"},
		{"failed though done", func(s *script) { fails(s, 10) }, `push: job 1 has failed under dispatch 10, nothing was in the way, and its receiver answered "200", and meant "ok"`},
		{"failed though done, its answer was on the way", func(s *script) {
			fails(s, 10)
			during(s, 10, history.Act{Word: history.Fault, Cause: history.CutServer, Target: "e1"})
		}, ""},
		{"failed though done, its receiver did not listen yet", func(s *script) {
			fails(s, 10)
			during(s, 10, history.Act{Word: history.Up, Proc: "r1", PID: 9, Target: "receiver"})
		}, ""},
		{"failed though done, its receiver had begun to listen", func(s *script) {
			fails(s, 10)
			s.at(0, history.Act{Word: history.Up, Proc: "r1", PID: 9, Target: "receiver"}).at(0, history.Act{Word: history.Listens, Proc: "r1", PID: 9})
		}, "push: job 1 has failed under dispatch 10, nothing was in the way"},
		{"failed though done, another endpoint was cut off", func(s *script) {
			fails(s, 10)
			during(s, 10, history.Act{Word: history.Fault, Cause: history.CutServer, Target: "e2"})
		}, "push: job 1 has failed under dispatch 10, nothing was in the way"},
		{"failed within the time that its receiver was given", func(s *script) { fails(s, 21) }, "push: job 2 has failed under dispatch 21, 5"},
		{"dead, and its receiver wanted it again", func(s *script) { s.of(history.Finished, 40).How = "failed" }, "push: job 4 is dead under dispatch 40"},
		{"tried more often than it may be", func(s *script) { s.Jobs[1].Failures = 3 }, "retries: job b (2) has failed 3 times, at most 2 were allowed"},
		{"its receiver stood still, and read what was given up after what followed", func(s *script) {
			for _, word := range []history.Word{history.Started, history.Answered, history.Finished} {
				a := s.of(word, 20)
				s.second++
				a.Mono, a.Wall = s.second*1_000_000_000, s.second*1_000_000
			}
		}, ""},
		{"it came twice in one attempt", func(s *script) { s.comes("a", 1, 10, 1, "one") }, "fence: job a (1) ran twice under dispatch 10, in p1 and in p1"},
		{"it came again, and its sender lives", func(s *script) {
			s.Acts = slices.DeleteFunc(s.Acts, func(a history.Act) bool { return a.Word == history.Killed })
		}, "duplicate: job c (3) ran again after attempt 1 (dispatch 30, in p1"},
	} {
		s := soundPush()
		c.plant(s)
		got := Check(&s.Facts).Findings
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, c.want) }) {
			t.Errorf("Check with %s = %q, want %q", c.name, got, c.want)
		}
	}
}

// Deliveries count from when they come until their receiver begins to answer, or what
// carries them is gone.
func TestPush_LimitsAsReceiversSeeThem(t *testing.T) {
	// Three deliveries within three seconds, of which two may be under way.
	play := func(acts ...func(s *script)) *script {
		s := &script{}
		s.Endpoints = map[string]Endpoint{"q": {Receiver: "r1", Link: "e1", InFlight: 2}}
		s.at(1, history.Act{Word: history.Up, Proc: "p1", PID: 7, How: "one", Target: "push"})
		for i := range int64(3) {
			s.second = 9 + i
			s.comes("a", i+1, i+1, 1, "one")
		}
		for _, act := range acts {
			act(s)
		}
		return s
	}
	at := func(second int64, a history.Act) func(s *script) {
		return func(s *script) { s.at(second, a) }
	}
	first := func(word history.Word, how string) history.Act {
		return history.Act{Word: word, ID: 1, Dispatch: 1, Proc: "r1", PID: 9, How: how}
	}
	fault := func(cause history.Cause, target string) history.Act {
		return history.Act{Word: history.Fault, Cause: cause, Target: target}
	}
	for _, c := range []struct {
		name  string
		s     *script
		found bool
	}{
		{"all at once", play(), true},
		{"one had its answer", play(at(11, first(history.Answered, "200"))), false},
		{"one will be called back about", play(at(11, first(history.Answered, "202"))), true},
		{"one was called back about", play(at(11, first(history.Answered, "202")), at(11, first(history.Finished, "ok"))), false},
		{"their sender was killed", play(at(11, history.Act{Word: history.Killed, Proc: "p1", PID: 7})), false},
		{"another one was killed", play(at(11, history.Act{Word: history.Killed, Proc: "p2", PID: 8})), true},
		{"their receiver was killed", play(at(11, history.Act{Word: history.Killed, Proc: "r1", PID: 9})), false},
		{"their way was cut", play(at(11, fault(history.CutServer, "e1"))), false},
		{"their way was mended", play(at(11, history.Act{Word: history.Lifted, Cause: history.CutServer, Target: "e1"})), false},
		{"Redis was lost 3 s before", play(at(9, fault(history.RedisLost, "*")), at(9, history.Act{Word: history.Lifted, Cause: history.RedisLost, Target: "*"})), false},
		{"Redis was lost 7 s before", play(at(5, fault(history.RedisLost, "*")), at(5, history.Act{Word: history.Lifted, Cause: history.RedisLost, Target: "*"})), true},
		{"Redis is away since 7 s", play(at(5, fault(history.RedisAway, "*")), at(60, history.Act{Word: history.Lifted, Cause: history.RedisAway, Target: "*"})), true},
		{"one worker is cut off from Redis", play(at(2, fault(history.CutRedis, "p1"))), false},
		{"one of them was past its deadline", play(func(s *script) { s.of(history.Started, 1).Due = 11_000_000 }), false},
		{"the last had been given up before it came", play(func(s *script) { s.of(history.Started, 3).Due = 11_000_000 }), false},
	} {
		found := Check(&c.s.Facts).Findings
		if got := slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "limit: 3 deliveries of q were under way at once") }); got != c.found {
			t.Errorf("%s: the limit is found exceeded: %t, want %t (%q)", c.name, got, c.found, found)
		}
	}
}

func TestUnderWay_CountsBySender(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	log, err := history.Open(path, "r1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	for id, how := range []string{"200", "202", "202", ""} {
		acts := []history.Act{{Word: history.Started, ID: int64(id), Key: []string{"a", "b", "c", "d"}[id], Target: []string{"one", "two"}[id%2]}, {Word: history.Answered, ID: int64(id), How: how}}
		if how == "" {
			acts = acts[:1]
		}
		if err := log.Note(acts...); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Note(history.Act{Word: history.Finished, ID: 2, How: "ok"}); err != nil {
		t.Fatal(err)
	}
	got, err := UnderWay(path)
	if err != nil || got["one"] != 0 || got["two"] != 2 {
		t.Errorf("UnderWay = %v, %v, want 2 of two", got, err)
	}
	if got, err := UnderWay(path, "d", "a"); err != nil || got["one"] != 0 || got["two"] != 1 {
		t.Errorf("UnderWay of d and a = %v, %v, want 1 of two", got, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := UnderWay(path); err != nil || len(got) != 0 {
		t.Errorf("UnderWay of nothing = %v, %v, want none", got, err)
	}
}
