package report

import (
	"strings"
	"testing"
)

func TestUpdate_ReplacesBetweenMarkersOnly(t *testing.T) {
	t.Parallel()
	const doc = "# Title  \n\nIn a line <!-- bench:a --> nothing happens.\n" +
		"<!-- bench:a -->\nold | a\n<!-- /bench:a -->\ntext between\t\n" +
		"<!-- bench:counts --> \n<!-- /bench:counts -->\r\n" +
		"<!-- bench:b -->\nnever measured\n<!-- /bench:b -->\n no newline at the end"
	const want = "# Title  \n\nIn a line <!-- bench:a --> nothing happens.\n" +
		"<!-- bench:a -->\n\nnew a\n\n<!-- /bench:a -->\ntext between\t\n" +
		"<!-- bench:counts --> \n\nnew counts\n\n<!-- /bench:counts -->\r\n" +
		"<!-- bench:b -->\nnever measured\n<!-- /bench:b -->\n no newline at the end"
	sections := map[string]string{"a": "new a\n", "counts": "\nnew counts", "targets": "t"}
	got, notes := Update(doc, sections)
	if got != want {
		t.Errorf("Update = %q, want %q", got, want)
	}
	wantNotes := "bench:targets has no markers: skipped\nbench:b has no results: left as it is"
	if strings.Join(notes, "\n") != wantNotes {
		t.Errorf("notes %q, want %q", notes, wantNotes)
	}
	if again, _ := Update(got, sections); again != got {
		t.Errorf("a second Update = %q, want the same as the first, %q", again, got)
	}
}

func TestUpdate_LeavesBrokenPairsAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ doc, note string }{
		"no closing":    {"<!-- bench:a -->\nx\n", "bench:a is not one opening and one closing marker: skipped"},
		"no opening":    {"x\n<!-- /bench:a -->\n", "bench:a is not one opening and one closing marker: skipped"},
		"wrong way":     {"<!-- /bench:a -->\nx\n<!-- bench:a -->\n", "bench:a is not one opening and one closing marker: skipped"},
		"twice":         {strings.Repeat("<!-- bench:a -->\nx\n<!-- /bench:a -->\n", 2), "bench:a is not one opening and one closing marker: skipped"},
		"around others": {"<!-- bench:a -->\n<!-- bench:zz -->\n<!-- /bench:zz -->\n<!-- /bench:a -->\n", "bench:a has other markers inside: skipped"},
		"none":          {"x\n", "bench:a has no markers: skipped"},
	} {
		got, notes := Update(c.doc, map[string]string{"a": "new"})
		if got != c.doc {
			t.Errorf("%s: Update = %q, want it unchanged", name, got)
		}
		if !strings.Contains(strings.Join(notes, "\n"), c.note) {
			t.Errorf("%s: notes %q, want %q", name, notes, c.note)
		}
	}
}

func TestSections_ReplacedTwiceAreTheSame(t *testing.T) {
	t.Parallel()
	var doc strings.Builder
	for _, name := range Markers {
		doc.WriteString("## " + name + "\n<!-- bench:" + name + " -->\n<!-- /bench:" + name + " -->\n")
	}
	once, notes := Update(doc.String(), Sections(setOf(atTheLimits()...), nil))
	if len(notes) > 0 {
		t.Errorf("notes %q, want none", notes)
	}
	for range 3 { // maps must not show
		if twice, _ := Update(once, Sections(setOf(atTheLimits()...), nil)); twice != once {
			t.Fatalf("a second Update differs:\n%s\nwant\n%s", twice, once)
		}
	}
}

func TestTable_CellsStayCells(t *testing.T) {
	t.Parallel()
	tb := &table{text: 1, head: []string{"a", "b"}}
	if got := tb.String(); got != "" {
		t.Errorf("a table without rows = %q, want nothing", got)
	}
	tb.add("x | y\n<!-- /bench:a -->", "1")
	const want = "| a | b |\n|---|---:|\n| x \\| y &lt;!-- /bench:a --> | 1 |\n"
	if got := tb.String(); got != want {
		t.Errorf("table = %q, want %q", got, want)
	}
}
