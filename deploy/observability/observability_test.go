package observability

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFiles_AreWrittenFromTheSource(t *testing.T) {
	t.Parallel()
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not what `go generate ./deploy/observability` writes (-source +file):\n%s", name, diff)
		}
	}
}

// metric is a name in an expression, without what Prometheus adds for histograms.
var metric = regexp.MustCompile(`rookery_[a-z_]+`)

func TestExpressions_AreOfDocumentedMetrics(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{} // the line
	for line := range strings.Lines(string(docs)) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			known[name] = line
		}
	}
	exprs := map[string]string{}
	for _, a := range alerts() {
		exprs[a.name] = a.expr
	}
	for _, r := range rows() {
		for _, p := range r.panels {
			for _, l := range p.lines {
				exprs[r.title+": "+p.title+": "+l.legend] = l.expr
			}
		}
	}
	for where, expr := range exprs {
		names := metric.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric: %s", where, expr)
		}
		for _, name := range names {
			line := known[strings.TrimSuffix(name, "_bucket")]
			switch {
			case line == "":
				t.Errorf("%s asks for %s, which docs/metrics.md does not have", where, name)
			case strings.HasSuffix(name, "_bucket") != strings.Contains(line, "| histogram |"):
				t.Errorf("%s asks for %s, which is not of its type: %s", where, name, line)
			case strings.Contains(line, "| counter |") && !strings.Contains(expr, "rate(") && !strings.Contains(expr, "increase("):
				t.Errorf("%s shows the counter %s as it is", where, name)
			}
		}
	}
}

// Every alert has its section in the runbook, to which it links, and the runbook has none
// that no alert leads to.
func TestAlerts_HaveARunbook(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, a := range alerts() {
		want = append(want, a.name)
	}
	for line := range strings.Lines(string(page)) {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			got = append(got, strings.TrimSpace(name))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/runbook.md has other sections than there are alerts (-alerts +sections):\n%s", diff)
	}
}

// Every alert is held to what it should do by a case of alerts_test.yml, which
// promtool runs.
func TestAlerts_HaveCases(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var tested []string
	for _, m := range regexp.MustCompile(`labels: .{alertname="(\w+)"}`).FindAllStringSubmatch(string(text), -1) {
		tested = append(tested, m[1])
	}
	seen := map[string]bool{}
	for _, a := range alerts() {
		if seen[a.name] || !slices.Contains(tested, a.name) {
			t.Errorf("alert %s is there twice, or has no case in alerts_test.yml", a.name)
		}
		seen[a.name] = true
		if a.summary == "" || a.remedy == "" || a.severity != page && a.severity != ticket {
			t.Errorf("alert %s: summary, remedy or severity is missing", a.name)
		}
	}
}

// A panel that names its alert names one that exists.
func TestPanels_NameAlertsThatExist(t *testing.T) {
	t.Parallel()
	all := ""
	for _, a := range alerts() {
		all += " " + a.name + " "
	}
	named := 0
	for _, r := range rows() {
		for _, p := range r.panels {
			for _, name := range regexp.MustCompile(`Rookery[A-Z]\w+`).FindAllString(p.means, -1) {
				if named++; !strings.Contains(all, " "+name+" ") {
					t.Errorf("panel %s names %s, which is no alert", p.title, name)
				}
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d panels name their alert", named)
	}
}
