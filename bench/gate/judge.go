package gate

import (
	_ "embed" // the file whose lines a verdict names
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// File is where the ceilings stand, from the folder of the repository.
const File = "bench/gate/ceilings.go"

//go:embed ceilings.go
var source string

// Verdict is one count beside its ceiling.
type Verdict struct {
	Ceiling
	Measured float64 // for Per jobs
	Line     int     // of File
}

// Excess reports whether the count is above its ceiling.
func (v Verdict) Excess() bool { return v.Measured > v.Most }

// Judge holds counts against ceilings, in the order of the ceilings. A count without
// a ceiling, or a ceiling without a count, is an error: it would guard nothing.
func Judge(counts []Count, ceilings []Ceiling) ([]Verdict, error) {
	var verdicts []Verdict
	var errs []error
	for _, c := range ceilings {
		i := slices.IndexFunc(counts, c.isOf)
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s:%d: no %s of %s was measured", File, c.line(), c.What, c.Part))
			continue
		}
		verdicts = append(verdicts, Verdict{Ceiling: c, Measured: rounded(counts[i].PerJob * float64(c.Per)), Line: c.line()})
	}
	for _, count := range counts {
		if !slices.ContainsFunc(ceilings, func(c Ceiling) bool { return c.isOf(count) }) {
			errs = append(errs, fmt.Errorf("%s: no ceiling for %s of %s", File, count.What, count.Part))
		}
	}
	return verdicts, errors.Join(errs...)
}

// rounded keeps what cannot be written exactly from being above itself.
func rounded(x float64) float64 { return math.Round(x*1e6) / 1e6 }

func (c Ceiling) isOf(count Count) bool { return c.Part == count.Part && c.What == count.What }

// line returns where the ceiling stands in File, 0 when it does not.
func (c Ceiling) line() int {
	before, _, ok := strings.Cut(source, fmt.Sprintf("{%q, %q, ", c.Part, c.What))
	if !ok {
		return 0
	}
	return 1 + strings.Count(before, "\n")
}

// Print prints the verdicts as a table, and below it where to argue with those that
// are above their ceilings.
func Print(w io.Writer, verdicts []Verdict) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tfor\tmeasured\tceiling\t")
	for _, v := range verdicts {
		jobs, say := "a job", "ok"
		if v.Per > 1 {
			jobs = fmt.Sprintf("%d jobs", v.Per)
		}
		if v.Excess() {
			say = "TOO MUCH"
		}
		fmt.Fprintf(t, "%s: %s\t%s\t%.2f\t%.2f\t%s\n", v.Part, v.What, jobs, v.Measured, v.Most, say)
	}
	_ = t.Flush()
	for _, v := range verdicts {
		if v.Excess() {
			fmt.Fprintf(w, "%s: %s are above their ceiling; if they must be, say why at %s:%d\n", v.Part, v.What, File, v.Line)
		}
	}
}
