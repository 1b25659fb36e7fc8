package main

import (
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// at makes an act at a moment, in seconds.
func at(s float64, word history.Word, proc, key string) history.Act {
	return history.Act{Mono: 1 + int64(s*float64(time.Second)), Word: word, Proc: proc, PID: 1, Key: key}
}

func away(s float64, word history.Word) history.Act {
	return history.Act{Mono: 1 + int64(s*float64(time.Second)), Word: word, Cause: history.RedisAway, Target: "*"}
}

// Each history has one defect that a check must name, or none.
func TestChecks_NameThePlantedDefect(t *testing.T) {
	const started, finished = history.Started, history.Finished
	tests := []struct {
		name  string
		check func(*verify.Facts, *verify.Report)
		acts  []history.Act
		want  string // "" means nothing
	}{
		{"one after the other", apart, []history.Act{at(1, started, "a", "j"), at(2, finished, "a", "j"), at(2.1, started, "b", "j")}, ""},
		{"beside each other", apart, []history.Act{at(1, started, "a", "j"), at(2, started, "b", "j"), at(3, finished, "a", "j")}, "beside"},
		{"after a kill", apart, []history.Act{at(1, started, "a", "j"), at(2, history.Killed, "a", ""), at(2.1, started, "b", "j")}, ""},
		{"beside a frozen one", apart, []history.Act{at(1, started, "a", "j"), at(2, history.Frozen, "a", ""), at(20, started, "b", "j")}, ""},
		{"frozen before it began", apart, []history.Act{at(1, history.Frozen, "a", ""), at(2, history.Thawed, "a", ""), at(3, started, "a", "j"), at(4, started, "b", "j")}, "beside"},
		{"another job", apart, []history.Act{at(1, started, "a", "j"), at(2, started, "b", "k")}, ""},
		{"an heir in time", heirs(workerBack), []history.Act{at(1, started, "a", "j"), at(2, history.Killed, "a", ""), at(21, started, "b", "j")}, ""},
		{"an heir too late", heirs(workerBack), []history.Act{at(1, started, "a", "j"), at(2, history.Killed, "a", ""), at(23, started, "b", "j")}, "slow"},
		{"nothing without Redis", flowsAway, []history.Act{away(0, history.Fault), away(30, history.Lifted)}, "no job ran"},
		{"something without Redis", flowsAway, []history.Act{away(0, history.Fault), at(9, started, "a", "j"), away(30, history.Lifted)}, ""},
		{"stranded in Redis", flowsAway, []history.Act{
			at(0, history.Committed, "p", "j"), away(1, history.Fault), at(10, started, "a", "k"), {Mono: 58e9, Word: started, ID: 7, Key: "j"}, away(60, history.Lifted),
		}, "waited in Redis"},
		{"cancelled and not told", toldOfCancel, []history.Act{{Word: finished, Key: "stage.1", How: "ok"}}, "not told"},
		{"cancelled and told", toldOfCancel, []history.Act{{Word: finished, Key: "stage.1", How: "cancelled"}}, ""},
		{"a shard delayed by another", othersUnmoved, []history.Act{{Word: waited, How: "meanwhile", Depth: int64(11 * time.Second)}}, "shards"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var found verify.Report
			changes := []verify.Change{{ID: 7, At: 57_000_000, Was: "dispatched", Becomes: "queued"}}
			test.check(&verify.Facts{Acts: test.acts, Changes: changes}, &found)
			got := strings.Join(found.Findings, "; ")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("check(%s) = %q, want %q", test.name, got, test.want)
			}
		})
	}
}

// Names are what -only takes: no two faults may share one.
func TestCatalogue_NamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range catalogue() {
		if seen[f.Name] {
			t.Errorf("catalogue() has two faults called %s, want one", f.Name)
		}
		seen[f.Name] = true
		if f.Inject == nil || f.Says == "" || f.Family == "" {
			t.Errorf("fault %s = %+v, want Inject, Says and Family", f.Name, f)
		}
	}
}
