package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// script is a history and its tables in the making; second is when the next act
// happens.
type script struct {
	Facts
	second int64
}

func (s *script) act(a history.Act) *script {
	s.second++
	return s.at(s.second, a)
}

// at adds an act at a second of both clocks.
func (s *script) at(second int64, a history.Act) *script {
	a.Mono, a.Wall = second*1_000_000_000, second*1_000_000
	s.Acts = append(s.Acts, a)
	return s
}

func (s *script) committed(key string, id int64) *script {
	s.act(history.Act{Word: history.Offered, Key: key, ID: id, Want: "completed"})
	return s.act(history.Act{Word: history.Committed, Key: key, ID: id})
}

func (s *script) ran(word history.Word, key string, id, dispatch int64, proc string, how string) *script {
	return s.act(history.Act{Word: word, Key: key, ID: id, Dispatch: dispatch, Proc: proc, PID: 7, How: how})
}

func (s *script) change(id int64, was, becomes string, wasDispatch, dispatch int64, attempt int32, failures, losses int16) *script {
	s.Changes = append(s.Changes, Change{
		N: int64(len(s.Changes)), At: s.second * 1_000_000, ID: id, Was: was, Becomes: becomes,
		WasDispatch: wasDispatch, Dispatch: dispatch, Attempt: attempt, Failures: failures, Losses: losses,
	})
	return s
}

// sound is a history that explains itself. Job a ran. Job b ran on w1, which was
// killed, and then on w2. Job c was rolled back. Job d failed once, as it was told
// to. Job e is unknown to its producer, and there.
func sound() *script {
	s := &script{}
	s.committed("a", 1).committed("b", 2).committed("d", 4)
	s.act(history.Act{Word: history.Offered, Key: "c", ID: 3}).act(history.Act{Word: history.RolledBack, Key: "c", ID: 3})
	s.act(history.Act{Word: history.Offered, Key: "e", ID: 5}).act(history.Act{Word: history.Unknown, Key: "e", ID: 5})
	s.Acts[4].Fails = 1 // d's offer
	s.ran(history.Started, "a", 1, 10, "w1", "").ran(history.Finished, "a", 1, 10, "w1", "ok").change(1, "dispatched", "completed", 10, 10, 1, 0, 0)
	s.ran(history.Started, "b", 2, 10, "w1", "").act(history.Act{Word: history.Killed, Proc: "w1", PID: 7, Target: "worker"})
	s.change(2, "dispatched", "queued", 10, 10, 1, 0, 1).change(2, "queued", "dispatched", 10, 20, 2, 0, 1)
	s.ran(history.Started, "b", 2, 20, "w2", "").ran(history.Finished, "b", 2, 20, "w2", "ok").change(2, "dispatched", "completed", 20, 20, 2, 0, 1)
	s.ran(history.Started, "d", 4, 11, "w2", "").ran(history.Finished, "d", 4, 11, "w2", "failed").change(4, "dispatched", "queued", 11, 11, 1, 1, 0)
	s.ran(history.Started, "d", 4, 12, "w2", "").ran(history.Finished, "d", 4, 12, "w2", "ok").change(4, "dispatched", "completed", 12, 12, 2, 1, 0)
	s.ran(history.Started, "e", 5, 13, "w2", "").ran(history.Finished, "e", 5, 13, "w2", "ok").change(5, "dispatched", "completed", 13, 13, 1, 0, 0)
	s.Jobs = []Job{
		{ID: 1, Key: "a", Status: "completed", Dispatch: 10, Attempts: 1},
		{ID: 2, Key: "b", Status: "completed", Dispatch: 20, Attempts: 2, Losses: 1},
		{ID: 4, Key: "d", Status: "completed", Dispatch: 12, Attempts: 2, Failures: 1},
		{ID: 5, Key: "e", Status: "completed", Dispatch: 13, Attempts: 1},
	}
	s.Attempts = []Attempt{{ID: 2, Attempt: 1, Outcome: "lose"}, {ID: 4, Attempt: 1, Outcome: "fail"}}
	s.Left = map[string]int64{"ready": 0, "leases": 0}
	s.Window = 100
	return s
}

func TestCheck_FindsPlantedDefects(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(s *script)
		want  string // of the finding, "" is none
		again string // duplicates by cause, when not the one of b
	}{
		{"nothing", func(*script) {}, "", ""},
		{"a committed job is gone", func(s *script) { s.Jobs = s.Jobs[1:] }, "lost: job a (1) was committed and is not in the table", ""},
		{"a committed job is stuck", func(s *script) { s.Jobs[0].Status = "running" }, "lost: job a (1) is running at rest", ""},
		{"a job of unknown fate is stuck", func(s *script) { s.Jobs[3].Status = "queued" }, "lost: job e (5) is queued at rest", ""},
		{"a job died that should not", func(s *script) { s.Jobs[0].Status = "dead" }, "lost: job a (1) is dead (), want completed", ""},
		{"a job of unknown fate is not there", func(s *script) {
			s.Jobs, s.Changes = s.Jobs[:3], s.Changes[:len(s.Changes)-1]
		}, "phantom: job e (5) ran, was never acknowledged, and is not in the table", ""},
		{"rolled back and there", func(s *script) {
			s.Jobs = append(s.Jobs, Job{ID: 3, Key: "c", Status: "completed"})
		}, "phantom: job c (3) was rolled back and is in the table", ""},
		{"rolled back and run", func(s *script) { s.ran(history.Started, "c", 3, 30, "w2", "") }, "phantom: job c (3) was rolled back and ran", ""},
		{"never offered and run", func(s *script) { s.ran(history.Started, "x", 9, 30, "w2", "") }, `phantom: job "x" (9) ran and was never offered`, ""},
		{"never offered and there", func(s *script) {
			s.Jobs = append(s.Jobs, Job{ID: 9, Key: "x", Status: "completed"})
		}, `phantom: job "x" (9) is in the table and was never offered`, ""},
		{"in the table twice", func(s *script) {
			s.Jobs = append(s.Jobs, Job{ID: 9, Key: "a", Status: "completed"})
		}, "job a is in the table twice: as 1 and as 9", ""},
		{"twice under one dispatch", func(s *script) { s.ran(history.Started, "e", 5, 13, "w3", "") }, "fence: job e (5) ran twice under dispatch 13, in w2 and in w3", "1 unexplained, 1 worker_killed"},
		{"two outcomes under one dispatch", func(s *script) { s.change(1, "dispatched", "dead", 10, 10, 1, 0, 0) }, "fence: two outcomes of job 1 were accepted under dispatch 10", ""},
		{"completed by a stale run", func(s *script) { // b's second run never returned, its first did, late
			s.Acts = slices.DeleteFunc(s.Acts, func(a history.Act) bool {
				return a.Word == history.Finished && a.Dispatch == 20
			})
			s.ran(history.Finished, "b", 2, 10, "w1", "ok")
		}, "fence: job 2 is completed under dispatch 20, and no run of it returned well", "1 outcome_lost"},
		{"failed, and no run did", func(s *script) {
			s.Attempts = append(s.Attempts, Attempt{ID: 1, Attempt: 1, Outcome: "fail"})
		}, "fence: job 1 has failed under dispatch 10, and no run of it did", ""},
		{"run again without a cause", func(s *script) {
			s.Acts = slices.DeleteFunc(s.Acts, func(a history.Act) bool { return a.Word == history.Killed })
		}, "duplicate: job b (2) ran again after attempt 0 (dispatch 10, in w1, never returned; became queued with lost_count 1, failure_count 0), which nothing explains", "1 unexplained"},
		{"killed before it ran", func(s *script) {
			for i := range s.Acts {
				if s.Acts[i].Word == history.Killed {
					s.Acts[i].Mono = 0
				}
			}
		}, "duplicate: job b (2) ran again", "1 unexplained"},
		{"another process was killed", func(s *script) {
			for i := range s.Acts {
				if s.Acts[i].Word == history.Killed {
					s.Acts[i].Proc = "w2"
				}
			}
		}, "duplicate: job b (2) ran again", "1 unexplained"},
		{"a retry was eaten", func(s *script) { s.Jobs[1].Failures = 1 }, "retries: job b (2) has failure_count 1, it failed 0 times by itself", ""},
		{"the window was exceeded", func(s *script) { s.act(history.Act{Word: history.Sample, Key: "q", Depth: 101}) }, "window: 101 jobs of q waited in Redis, at most 100 may", ""},
		{"something is left", func(s *script) { s.Left["leases"] = 2 }, "2 left in leases at rest", ""},
	} {
		s := sound()
		c.plant(s)
		got := Check(&s.Facts)
		if c.want == "" && len(got.Findings) > 0 || c.want != "" && (len(got.Findings) == 0 || !slices.ContainsFunc(got.Findings, func(f string) bool { return strings.HasPrefix(f, c.want) })) {
			t.Errorf("Check with %s = %q, want %q", c.name, got.Findings, c.want)
		}
		if want := or(c.again, "1 worker_killed"); again(got) != want {
			t.Errorf("Check with %s counts again %q, want %q", c.name, again(got), want)
		}
	}
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func again(r *Report) string {
	var parts []string
	for _, cause := range slices.Sorted(maps.Keys(r.Duplicates)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Duplicates[cause], cause))
	}
	return strings.Join(parts, ", ")
}

// A run that follows another is explained by what hit the process that ran it, and
// by no more than the fault allows.
func TestCheck_ExplainsByCause(t *testing.T) {
	// One job, run by w1 from second 10 on and by w2 at second 40.
	play := func(acts ...func(s *script)) *script {
		s := &script{}
		s.committed("a", 1)
		s.at(10, history.Act{Word: history.Started, Key: "a", ID: 1, Dispatch: 10, Proc: "w1", PID: 7})
		for _, f := range acts {
			f(s)
		}
		s.at(40, history.Act{Word: history.Started, Key: "a", ID: 1, Dispatch: 20, Proc: "w2", PID: 8})
		s.at(41, history.Act{Word: history.Finished, Key: "a", ID: 1, Dispatch: 20, Proc: "w2", PID: 8, How: "ok"})
		s.second = 41
		s.change(1, "running", "queued", 10, 10, 1, 0, 0).change(1, "dispatched", "completed", 20, 20, 2, 0, 0)
		s.Jobs = []Job{{ID: 1, Key: "a", Status: "completed", Dispatch: 20}}
		return s
	}
	did := func(second int64, word history.Word) func(s *script) {
		return func(s *script) { s.at(second, history.Act{Word: word, Proc: "w1", PID: 7}) }
	}
	fault := func(from, to int64, cause history.Cause, target string) func(s *script) {
		return func(s *script) {
			s.at(from, history.Act{Word: history.Fault, Cause: cause, Target: target})
			if to > 0 {
				s.at(to, history.Act{Word: history.Lifted, Cause: cause, Target: target})
			}
		}
	}
	returned := func(how string) func(s *script) {
		return func(s *script) {
			s.at(15, history.Act{Word: history.Finished, Key: "a", ID: 1, Dispatch: 10, Proc: "w1", PID: 7, How: how})
		}
	}
	allow := func(c history.Cause) func(s *script) {
		return func(s *script) { s.Allow = append(s.Allow, c) }
	}
	stall := func(from, to int64) func(s *script) {
		return func(s *script) { s.Stalls = append(s.Stalls, Stall{from * 1_000_000_000, to * 1_000_000_000}) }
	}
	for _, c := range []struct {
		name string
		s    *script
		want string
	}{
		{"nothing", play(), "1 unexplained"},
		{"killed", play(did(20, history.Killed)), "1 worker_killed"},
		{"killed when it was over", play(did(45, history.Killed)), "1 unexplained"},
		{"killed before", play(did(5, history.Killed)), "1 unexplained"},
		{"died by itself", play(did(20, history.Ended)), "1 worker_killed"},
		{"killed after it had returned", play(returned("ok"), did(20, history.Killed)), "1 outcome_lost"},
		{"told to stop", play(returned("shutdown")), "1 given_back"},
		{"frozen for long", play(did(20, history.Frozen), did(35, history.Thawed)), "1 worker_frozen"},
		{"frozen and never thawed", play(did(20, history.Frozen)), "1 worker_frozen"},
		{"frozen twice, briefly", play(did(12, history.Frozen), did(15, history.Thawed), did(20, history.Frozen), did(23, history.Thawed)), "1 unexplained"},
		{"frozen before", play(did(1, history.Frozen), did(9, history.Thawed)), "1 unexplained"},
		{"cut off, not allowed", play(fault(12, 35, history.CutRedis, "w1")), "1 unexplained"},
		{"cut off", play(fault(12, 35, history.CutRedis, "w1"), allow(history.CutRedis)), "1 cut_redis"},
		{"never mended", play(fault(12, 0, history.CutRedis, "w1"), allow(history.CutRedis)), "1 cut_redis"},
		{"another was cut off", play(fault(12, 35, history.CutRedis, "w2"), allow(history.CutRedis)), "1 unexplained"},
		{"everybody was", play(fault(12, 35, history.RedisAway, "*"), allow(history.RedisAway)), "1 redis_away"},
		{"it was over before", play(fault(5, 9, history.RedisAway, "*"), allow(history.RedisAway)), "1 unexplained"},
		{"the machine stood still", play(stall(12, 15), stall(20, 26)), "1 machine_stalled"},
		{"the machine stood still for less", play(stall(12, 15), stall(20, 24)), "1 unexplained"},
		{"the machine stood still before", play(stall(1, 10), stall(40, 60)), "1 unexplained"},
		{"another cause is allowed", play(fault(12, 35, history.RedisAway, "*"), allow(history.TailLost)), "1 unexplained"},
	} {
		if got := again(Check(&c.s.Facts)); got != c.want {
			t.Errorf("Check with %s counts again %q, want %q", c.name, got, c.want)
		}
	}
}

// An attempt that its worker holds in Postgres has another dispatch there: the run is
// the same one.
func TestCheck_FollowsAnAttemptThatIsHeld(t *testing.T) {
	s := &script{}
	s.committed("a", 1).ran(history.Started, "a", 1, 10, "w1", "").ran(history.Finished, "a", 1, 10, "w1", "ok")
	s.change(1, "running", "running", 10, 99, 1, 0, 0).change(1, "running", "completed", 99, 99, 1, 0, 0)
	s.Jobs = []Job{{ID: 1, Key: "a", Status: "completed", Dispatch: 99}}
	if got := Check(&s.Facts); len(got.Findings) > 0 {
		t.Errorf("Check = %q, want nothing", got.Findings)
	}
}

// What a Postgres that lost its tail had acknowledged is counted apart, and may have
// run; what it acknowledged before or after is as lost as ever.
func TestCheck_CountsALostTailApart(t *testing.T) {
	for _, c := range []struct {
		from, to   int64
		lost, tail int
	}{{1, 9, 0, 1}, {3, 9, 1, 0}, {0, 1, 1, 0}} {
		s := &script{}
		s.committed("a", 1).ran(history.Started, "a", 1, 10, "w1", "") // committed at second 2
		s.at(c.from, history.Act{Word: history.Fault, Cause: history.TailLost, Target: "*"})
		s.at(c.to, history.Act{Word: history.Lifted, Cause: history.TailLost, Target: "*"})
		got := Check(&s.Facts)
		if got.Lost != c.lost || got.TailLost != c.tail || got.Phantom != 0 {
			t.Errorf("Check with a tail lost from %d to %d = lost %d, tail %d, phantom %d, want %d, %d, 0", c.from, c.to, got.Lost, got.TailLost, got.Phantom, c.lost, c.tail)
		}
	}
}

func TestRecovery_CountsFromTheKill(t *testing.T) {
	s := sound()
	// w1 is killed at second 14; b begins again at 15.
	if got := Check(&s.Facts).Recovery; got.Back != time.Second || got.NewWork != 0 {
		t.Errorf("Recovery = %+v, want 1 s until b is back", got)
	}
	killed := s.Acts[slices.IndexFunc(s.Acts, func(a history.Act) bool { return a.Word == history.Killed })].Mono
	for i := range int64(firstJobs) {
		key := fmt.Sprint("n", i)
		s.at(killed/1_000_000_000+1, history.Act{Word: history.Offered, Key: key, ID: 100 + i})
		s.at(killed/1_000_000_000+1, history.Act{Word: history.Committed, Key: key, ID: 100 + i})
		s.at(killed/1_000_000_000+3+i, history.Act{Word: history.Started, Key: key, ID: 100 + i, Dispatch: 50, Proc: "w2", PID: 7})
	}
	if got := Check(&s.Facts).Recovery.NewWork; got != 12*time.Second {
		t.Errorf("NewWork = %s, want 12s: the tenth job began then", got)
	}
}

func TestLoad_ReadsWhatWasSaved(t *testing.T) {
	dir := t.TempDir()
	s := sound()
	if err := s.Save(filepath.Join(dir, "tables.json")); err != nil {
		t.Fatal(err)
	}
	log, err := history.Open(filepath.Join(dir, "history"), "p")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Note(s.Acts...); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := Load(filepath.Join(dir, "history"), filepath.Join(dir, "tables.json"))
	if err != nil || len(f.Acts) != len(s.Acts) {
		t.Fatalf("Load = %d acts, %v, want %d", len(f.Acts), err, len(s.Acts))
	}
	f.Acts, s.Acts = nil, nil
	got, _ := json.Marshal(f)
	want, _ := json.Marshal(&s.Facts)
	if string(got) != string(want) {
		t.Errorf("Load = %s, want %s", got, want)
	}
}

func TestOrder_FindsTheFirstInversion(t *testing.T) {
	for _, c := range []struct {
		begun []string
		want  string
	}{
		{[]string{"a", "b", "c"}, ""},
		{[]string{"a", "c", "b"}, "order: job c (3) of priority 100 began before job b (2) of priority 100"},
		{[]string{"b", "a", "c"}, "order: job b (2) of priority 100 began before job a (9) of priority 10"},
		{[]string{"a", "b"}, "order: 2 runs of 3 jobs"},
	} {
		s := &script{}
		s.Jobs = []Job{{ID: 9, Key: "a", Priority: 10}, {ID: 2, Key: "b", Priority: 100}, {ID: 3, Key: "c", Priority: 100}}
		ids := map[string]int64{"a": 9, "b": 2, "c": 3, "x": 4}
		for _, key := range append([]string{"x"}, c.begun...) { // x is not of the backlog
			s.ran(history.Started, key, ids[key], 10, "w1", "")
		}
		r := &Report{}
		Order(&s.Facts, r, []string{"a", "b", "c"})
		if got := strings.Join(r.Findings, "; "); got != c.want {
			t.Errorf("Order(%v) = %q, want %q", c.begun, got, c.want)
		}
	}
}
