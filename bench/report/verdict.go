package report

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// Verdict says whether a target is met.
type Verdict string

// The verdicts.
const (
	Met         Verdict = "met"
	Missed      Verdict = "missed"
	NotMeasured Verdict = "not measured" // a run that it is computed from is missing
)

// Target is one promise about speed or cost, and what came of it.
type Target struct {
	Workload string
	Text     string // what is measured
	Limit    string // such as "≥ 4 ×"
	Measured string // in the limit's unit; "–" when it was not
	Figures  string // what it is computed from: medians of runs
	Verdict  Verdict
}

// limit is what a measured value must keep to.
type limit struct {
	sign  string // ≥, ≤ or <
	bound float64
	unit  string // with the space before it
}

func (l limit) String() string {
	return l.sign + " " + strconv.FormatFloat(l.bound, 'g', 3, 64) + l.unit
}

// holds says whether v keeps to the limit; the bound itself does, except to "<".
func (l limit) holds(v float64) bool {
	switch l.sign {
	case "≥":
		return v >= l.bound
	case "≤":
		return v <= l.bound
	default:
		return v < l.bound
	}
}

// show writes v with two decimals, or with as many more as it takes to stay on its
// side of the bound: 3.9996 is not "4.00 ×, missed".
func (l limit) show(v float64) string {
	text := number(v)
	for digits := 2; digits < 10 && v < 1e15; digits++ {
		text = strconv.FormatFloat(v, 'f', digits, 64)
		if shown, err := strconv.ParseFloat(text, 64); err == nil && l.holds(shown) == l.holds(v) {
			break
		}
	}
	return text + l.unit
}

// judge fills in a target. Figures are those that were measured, whether value could
// be computed from them (ok) or not.
func judge(workload, text string, l limit, value float64, ok bool, figures string) Target {
	t := Target{Workload: workload, Text: text, Limit: l.String(), Measured: none, Figures: figures, Verdict: NotMeasured}
	if !ok {
		return t
	}
	t.Measured = l.show(value)
	if t.Verdict = Missed; l.holds(value) {
		t.Verdict = Met
	}
	return t
}

// PrintTargets prints the targets as a table.
func PrintTargets(w io.Writer, s Set) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\ttarget\tlimit\tmeasured\tof\t")
	for _, g := range Targets(s) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", called(g.Workload), g.Text, g.Limit, g.Measured, g.Figures, g.Verdict)
	}
	_ = t.Flush()
}
