package model

import "testing"

func TestWindow_IsNotExceededByMoreThanABatchForEachRelay(t *testing.T) {
	const bound = windowSize + relays*windowBatch
	most, states := Overflow(everyRule)
	t.Logf("%d states, at most %d jobs", states, most)
	if most > bound {
		t.Errorf("Overflow() = %d, want at most %d", most, bound)
	}
	for _, rule := range []Rule{freshDepth, countsOwed} {
		if most, _ := Overflow(rule); most <= bound {
			t.Errorf("Overflow() without %q = %d, want more than %d", rule, most, bound)
		}
	}
}
