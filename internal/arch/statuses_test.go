package arch

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penguinmails/rookery/job"
)

// drawn is a line of the drawing in job/doc.go: from event to (remark).
var drawn = regexp.MustCompile(`^\t([a-z]+(?: [a-z]+)*) {2,}([a-z]+) +([a-z]+)(?: +\(.*\))?$`)

func TestStatuses_DrawingIsTheTable(t *testing.T) {
	var drawing []job.Transition
	for line := range strings.Lines(parse(t, "job/doc.go").Doc.Text()) {
		m := drawn.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m != nil && m[1] != "from" {
			drawing = append(drawing, job.Transition{From: statuses(m[1]), Event: job.Event(m[2]), To: job.Status(m[3])})
		}
	}
	if diff := cmp.Diff(job.Transitions(), drawing); diff != "" {
		t.Errorf("job/doc.go draws something else than job.Transitions() (-table +drawing):\n%s", diff)
	}
}

func TestStatuses_SQLIsTheTable(t *testing.T) {
	taken := map[string]bool{}
	for _, path := range files(t, ".sql") {
		for _, u := range updates(t, path) {
			u.check(t)
			for _, a := range u.arrows {
				for _, from := range a.From {
					taken[arrow(from, a.Event, a.To)] = true
				}
			}
		}
	}
	want := map[string]bool{}
	for _, tr := range job.Transitions() {
		for _, from := range tr.From {
			want[arrow(from, tr.Event, tr.To)] = true
		}
	}
	if diff := cmp.Diff(want, taken); diff != "" {
		t.Errorf("the arrows of the SQL are not those of job.Transitions() (-table +SQL):\n%s", diff)
	}
}

func arrow(from job.Status, event job.Event, to job.Status) string {
	return string(from) + " -" + string(event) + "-> " + string(to)
}

func statuses(text string) []job.Status {
	var found []job.Status
	for word := range strings.FieldsSeq(text) {
		found = append(found, job.Status(word))
	}
	return found
}

// update is an UPDATE of outbox.jobs that sets the status, and the arrows that the
// comment lines above it say it takes:
//
//	-- arrow: dispatched running -complete-> completed
type update struct {
	where  string // file and line
	sql    string
	arrows []job.Transition
}

var (
	arrowLine = regexp.MustCompile(`^\s*-- arrow: ([a-z ]+) -([a-z]+)-> ([a-z]+)$`)
	setStatus = regexp.MustCompile(`(?s)\bSET\b.*?\bstatus = ('[a-z]+'|CASE\b.*?\bEND\b)`)
	chosen    = regexp.MustCompile(`(?:^|THEN |ELSE )'([a-z]+)'`)
	guard     = regexp.MustCompile(`\bj\.status (?:= '([a-z]+)'|IN \(([^)]*)\))`)
	literal   = regexp.MustCompile(`'([a-z]+)'`)
)

// updates returns those of a file. An UPDATE ends at its RETURNING or semicolon.
func updates(t *testing.T, path string) []update {
	t.Helper()
	var found []update
	var pending []job.Transition
	var current *update
	for n, line := range strings.Split(read(t, path), "\n") {
		if m := arrowLine.FindStringSubmatch(line); m != nil {
			pending = append(pending, job.Transition{From: statuses(m[1]), Event: job.Event(m[2]), To: job.Status(m[3])})
			continue
		}
		if strings.Contains(line, "-- arrow") {
			t.Errorf("%s:%d: not an arrow: %s", path, n+1, line)
		}
		code, _, _ := strings.Cut(line, "--")
		if strings.Contains(code, "UPDATE outbox.jobs") {
			current = &update{where: fmt.Sprintf("%s:%d", path, n+1)}
		}
		if current == nil {
			continue
		}
		current.sql += code + "\n"
		if !strings.Contains(code, "RETURNING") && !strings.Contains(code, ";") {
			continue
		}
		if setStatus.MatchString(current.sql) {
			current.arrows, pending = pending, nil
			found = append(found, *current)
		}
		current = nil
	}
	if len(pending) > 0 {
		t.Errorf("%s: no UPDATE that sets the status follows the arrows %v", path, pending)
	}
	return found
}

// check compares what the UPDATE guards and sets with the arrows over it.
func (u update) check(t *testing.T) {
	t.Helper()
	if len(u.arrows) == 0 {
		t.Errorf("%s: sets the status without a comment line \"-- arrow: from -event-> to\"", u.where)
		return
	}
	var from, to, guards, sets []job.Status
	for _, a := range u.arrows {
		from = append(from, a.From...)
		to = append(to, a.To)
	}
	_, condition, _ := strings.Cut(u.sql, "WHERE")
	for _, m := range guard.FindAllStringSubmatch(condition, -1) {
		for _, l := range literal.FindAllStringSubmatch("'"+m[1]+"'"+m[2], -1) {
			guards = append(guards, job.Status(l[1]))
		}
	}
	for _, m := range chosen.FindAllStringSubmatch(setStatus.FindStringSubmatch(u.sql)[1], -1) {
		sets = append(sets, job.Status(m[1]))
	}
	if diff := cmp.Diff(distinct(from), distinct(guards), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: guards other statuses than its arrows come from (-arrows +WHERE):\n%s", u.where, diff)
	}
	if diff := cmp.Diff(distinct(to), distinct(sets), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: sets other statuses than its arrows lead to (-arrows +SET):\n%s", u.where, diff)
	}
}

func distinct(list []job.Status) []job.Status {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
