package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/penguinmails/rookery/bench/lab"
)

// Markers are the names of all sections of docs/performance.md: workloads, and what
// is of all of them.
var Markers = append([]string{"machine", "targets"}, letters...)

// Sections returns the markdown of every marker that there are results for, with the
// plots of each workload below its tables. Links are relative to the folder above
// the plots'.
func Sections(s Set, plots []Plot) map[string]string {
	out := map[string]string{"machine": machineSection(s), "targets": targetSection(s)}
	for _, letter := range s.Letters() {
		var parts []string
		for _, part := range s.tables(letter) {
			if text := part.String(); text != "" {
				parts = append(parts, text)
			}
		}
		for _, p := range plots {
			if p.Workload == letter {
				parts = append(parts, fmt.Sprintf("![%s](%s/%s.png)\n", p.Title, PlotFolder, p.Name))
			}
		}
		out[letter] = strings.Join(parts, "\n")
	}
	return out
}

// tables returns a workload's tables.
func (s Set) tables(letter string) []*table {
	groups := s.groups(letter)
	switch letter {
	case "c":
		return []*table{costs(groups), insertRates(groups)}
	case "e", "w":
		return []*table{latencies(groups), costs(groups)}
	case "g", "h":
		return []*table{courses(groups), costs(groups)}
	case "i":
		return []*table{depths(groups)}
	case "j", "k":
		return []*table{latencies(groups), asides(groups)}
	case "counts":
		return []*table{counts(groups)}
	default:
		return []*table{costs(groups)}
	}
}

func targetSection(s Set) string {
	t := &table{text: 6, head: []string{"", "target", "limit", "measured", "of", ""}}
	for _, target := range Targets(s) {
		t.add(called(target.Workload), target.Text, target.Limit, target.Measured, target.Figures, string(target.Verdict))
	}
	return t.String()
}

// costs is rates, and what a job costs.
func costs(groups []Group) *table {
	t := &table{text: 2, head: []string{"case", "system", "runs", "jobs/s (low to high)", "of rookery's", "CPU, µs a job", "commits a job", "WAL, B a job", "row versions a job", "HOT", "Redis commands a job"}}
	for _, g := range groups {
		t.add(append([]string{g.Case, g.System, strconv.Itoa(len(g.Runs)), g.spread(rate, whole), share(g, groups, rate), g.median(cpuPerJob)}, g.Counts()...)...)
	}
	return t
}

// insertRates is how fast producers were told that their jobs are in.
func insertRates(groups []Group) *table {
	t := &table{text: 2, head: []string{"case", "system", "runs", "inserts/s (low to high)", "of rookery's"}}
	for _, g := range groups {
		if _, ok := g.measured(extra(inserts)); ok {
			t.add(g.Case, g.System, strconv.Itoa(len(g.Runs)), g.spread(extra(inserts), whole), share(g, groups, extra(inserts)))
		}
	}
	return t
}

// latencies is quantiles in ms.
func latencies(groups []Group) *table {
	t := &table{text: 3, head: []string{"case", "system", "ms", "runs", "p50", "p95", "p99", "p99.9", "max"}}
	for _, g := range groups {
		for _, name := range LatencyNames {
			if _, ok := g.measured(quantile(name, longest)); !ok {
				continue
			}
			cells := []string{g.Case, g.System, name, strconv.Itoa(len(g.Runs))}
			for _, q := range quantiles {
				cells = append(cells, g.median(quantile(name, q.pick)))
			}
			t.add(append(cells, g.median(quantile(name, longest)))...)
		}
	}
	return t
}

// courses is how steady minutes of work are.
func courses(groups []Group) *table {
	t := &table{text: 2, head: []string{"case", "system", "jobs/s, first tenth", "last tenth", "last of first", "most dead rows", "largest size of the tables, MB"}}
	for _, g := range groups {
		first, okA := g.measured(extra("first_tenth"))
		last, okB := g.measured(extra("last_tenth"))
		ratio := none
		if okA && okB && first.median > 0 {
			ratio = number(last.median / first.median)
		}
		t.add(g.Case, g.System, g.spread(extra("first_tenth"), whole), g.spread(extra("last_tenth"), whole), ratio,
			g.spread(highest(0, 1, ending("_dead")), whole), g.spread(highest(0, 1, ending("_mb")), number))
	}
	return t
}

// ending adds what a point of a series says of all tables.
func ending(suffix string) func(map[string]float64) (float64, bool) {
	return func(point map[string]float64) (sum float64, ok bool) {
		for _, key := range keysEnding(point, suffix) {
			sum, ok = sum+point[key], true
		}
		return sum, ok
	}
}

// keysEnding returns the keys of that ending in order.
func keysEnding(point map[string]float64, suffix string) []string {
	var out []string
	for key := range point {
		if strings.HasSuffix(key, suffix) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// depths is drains from backlogs.
func depths(groups []Group) *table {
	t := &table{text: 1, head: []string{"backlog", "runs", "jobs/s (low to high)", "of the smallest's", "left at least", "Redis grew by, MB"}}
	for _, g := range groups {
		name := g.Case
		if n, ok := trailing(name, backlog); ok {
			name = whole(float64(n))
		}
		t.add(name, strconv.Itoa(len(g.Runs)), g.spread(rate, whole), of(g, groups[0], rate), g.spread(extra("least_waiting"), whole), g.spread(extra("redis_mb"), number))
	}
	return t
}

// asides is what only these workloads tell.
func asides(groups []Group) *table {
	t := &table{text: 3, head: []string{"case", "system", "besides", "median"}}
	for _, g := range groups {
		keys := map[string]float64{}
		for _, r := range g.Runs {
			for key := range r.Extra {
				keys[key] = 0
			}
		}
		for _, key := range keysEnding(keys, "") {
			t.add(g.Case, g.System, strings.ReplaceAll(key, "_", " "), g.median(extra(key)))
		}
	}
	return t
}

// counts is what no machine's mood changes.
func counts(groups []Group) *table {
	t := &table{text: 2, head: []string{"per job", "system", "runs", "statements", "commits", "WAL flushes", "WAL, B", "row versions", "HOT", "Redis commands", "Redis round trips", "allocations in Go"}}
	for _, g := range groups {
		c := g.Counts()
		t.add(g.Case, g.System, strconv.Itoa(len(g.Runs)),
			g.median(counted(func(u *lab.Usage) float64 { return u.Statements })), c[0],
			g.median(used(func(u *lab.Usage) float64 { return u.Flushes })), c[1], c[2], c[3], c[4],
			g.median(used(func(u *lab.Usage) float64 { return u.RedisTrips })),
			g.median(counted(func(u *lab.Usage) float64 { return u.Mallocs })))
	}
	return t
}

// median writes a figure.
func (g Group) median(f figure) string {
	s, ok := g.measured(f)
	if !ok {
		return none
	}
	return number(s.median)
}

// spread writes a figure and, of several runs, the lowest and highest.
func (g Group) spread(f figure, write func(float64) string) string {
	s, ok := g.measured(f)
	switch {
	case !ok:
		return none
	case len(g.Runs) == 1:
		return write(s.median)
	}
	return fmt.Sprintf("%s (%s to %s)", write(s.median), write(s.low), write(s.high))
}

// share compares a group with Rookery's of the same case.
func share(g Group, groups []Group, f figure) string {
	for _, other := range groups {
		if other.Case == g.Case && other.System == ours {
			return of(g, other, f)
		}
	}
	return none
}

func of(g, other Group, f figure) string {
	a, okA := g.measured(f)
	b, okB := other.measured(f)
	if !okA || !okB || b.median == 0 {
		return none
	}
	return number(a.median / b.median)
}
