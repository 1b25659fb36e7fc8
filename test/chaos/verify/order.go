package verify

import (
	"cmp"
	"slices"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// Order checks that a backlog that was there before anybody looked, drained through
// one slot, began by priority and then by id, exactly. keys names its jobs; their
// priority is in the table.
func Order(f *Facts, found *Report, keys []string) {
	priority := map[string]int16{}
	for _, j := range f.Jobs {
		priority[j.Key] = j.Priority
	}
	wanted := map[string]bool{}
	for _, k := range keys {
		wanted[k] = true
	}
	var starts []history.Act
	for _, a := range f.Acts {
		if a.Word == history.Started && wanted[a.Key] {
			starts = append(starts, a)
		}
	}
	slices.SortStableFunc(starts, func(a, b history.Act) int { return cmp.Compare(a.Mono, b.Mono) })
	if len(starts) != len(keys) {
		found.Add("order: %d runs of %d jobs", len(starts), len(keys))
	}
	for i := 1; i < len(starts); i++ {
		a, b := starts[i-1], starts[i]
		if c := cmp.Or(cmp.Compare(priority[a.Key], priority[b.Key]), cmp.Compare(a.ID, b.ID)); c > 0 {
			found.Add("order: job %s (%d) of priority %d began before job %s (%d) of priority %d", a.Key, a.ID, priority[a.Key], b.Key, b.ID, priority[b.Key])
			return
		}
	}
}
