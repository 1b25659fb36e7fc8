package workloads

import (
	"maps"
	"testing"
)

func TestTenths(t *testing.T) {
	rising := func(n int) (series []map[string]float64) {
		for i := range n {
			series = append(series, map[string]float64{"rate": float64(i + 1)})
		}
		return series
	}
	for n, want := range map[int]map[string]float64{
		0:  nil,
		1:  nil,
		2:  {"first_tenth": 1, "second_tenth": 2, "last_tenth": 2},
		19: {"first_tenth": 1, "second_tenth": 2, "last_tenth": 19},
		52: {"first_tenth": 3, "second_tenth": 8, "last_tenth": 50},
	} {
		if got := Tenths(rising(n)); !maps.Equal(got, want) {
			t.Errorf("Tenths of %d points = %v, want %v", n, got, want)
		}
	}
}
