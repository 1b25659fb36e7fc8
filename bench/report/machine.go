package report

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
)

// machineSection says where the results come from. Files may be of different machines
// and commits: then every value says whose it is.
func machineSection(s Set) string {
	facts := &table{text: 2, head: []string{"machine", ""}}
	for _, f := range []struct {
		name string
		of   func(lab.Facts) string
	}{
		{"CPU", func(f lab.Facts) string { return f.CPU }},
		{"cores", func(f lab.Facts) string { return strconv.Itoa(f.Cores) }},
		{"memory", func(f lab.Facts) string { return f.Memory }},
		{"kernel", func(f lab.Facts) string { return f.Kernel }},
		{"Go", func(f lab.Facts) string { return f.Go }},
		{"PostgreSQL", func(f lab.Facts) string { return f.Postgres }},
		{"Redis", func(f lab.Facts) string { return f.Redis }},
		{"Node", func(f lab.Facts) string { return f.Node }},
	} {
		facts.add(f.name, s.agreed(f.of))
	}
	runs := &table{text: 5, head: []string{"workload", "measured", "commit", "load before", "command"}}
	for _, letter := range s.Letters() {
		r := s[letter]
		runs.add(called(letter), when(r), orNone(r.Machine.Commit), orNone(r.Machine.Load), code(r.Command))
	}
	return facts.String() + "\n" + runs.String()
}

// agreed returns a fact that all files tell alike, or each of what they tell with the
// workloads that tell it.
func (s Set) agreed(fact func(lab.Facts) string) string {
	var values []string
	tellers := map[string][]string{}
	for _, letter := range s.Letters() {
		v := orNone(fact(s[letter].Machine))
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
		tellers[v] = append(tellers[v], called(letter))
	}
	if len(values) == 1 {
		return values[0]
	}
	for i, v := range values {
		values[i] = v + " (" + strings.Join(tellers[v], " ") + ")"
	}
	return strings.Join(values, "; ")
}

// when says on which days, or in which hours of one day, the runs began, in UTC.
func when(r *Results) string {
	var first, last time.Time
	for _, run := range r.Runs {
		if first.IsZero() || run.At.Before(first) {
			first = run.At
		}
		if run.At.After(last) {
			last = run.At
		}
	}
	if first.IsZero() {
		return none
	}
	first, last = first.UTC(), last.UTC()
	text := first.Format("2006-01-02 15:04")
	switch {
	case last.Format("2006-01-02") != first.Format("2006-01-02"):
		text += " to " + last.Format("2006-01-02 15:04")
	case last.Format("15:04") != first.Format("15:04"):
		text += " to " + last.Format("15:04")
	}
	return text + " UTC"
}

func called(letter string) string {
	if len(letter) == 1 {
		return "(" + letter + ")"
	}
	return letter
}

func orNone(text string) string {
	if text == "" {
		return none
	}
	return text
}

func code(text string) string {
	if text == "" {
		return none
	}
	return "`" + text + "`"
}
