package observability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Files returns what is generated, by file name.
func Files() (map[string][]byte, error) {
	dashboard, err := Dashboard()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"alerts.yml": Alerts(), "dashboard.json": dashboard}, nil
}

// runbook is the page that has a heading for each alert.
const runbook = "https://github.com/penguinmails/rookery/blob/main/docs/runbook.md"

// Alerts returns the rules file of Prometheus.
func Alerts() []byte {
	var b strings.Builder
	b.WriteString("# Written by `go generate ./deploy/observability`: change alerts.go.\ngroups:\n  - name: rookery\n    rules:\n")
	for _, a := range alerts() {
		fmt.Fprintf(&b, "      - alert: %s\n        expr: |\n", a.name)
		for line := range strings.Lines(a.expr) {
			fmt.Fprintf(&b, "          %s\n", strings.TrimSuffix(line, "\n"))
		}
		if a.lasts != "" {
			fmt.Fprintf(&b, "        for: %s\n", a.lasts)
		}
		fmt.Fprintf(&b, "        labels:\n          severity: %s\n        annotations:\n          summary: %s\n          description: %s\n          runbook_url: %s#%s\n",
			a.severity, strconv.Quote(a.summary), strconv.Quote(a.remedy), runbook, strings.ToLower(a.name))
	}
	return []byte(b.String())
}

// Grafana's model of a dashboard, as far as it is used here.
type (
	dashboard struct {
		Title         string   `json:"title"`
		UID           string   `json:"uid"`
		Description   string   `json:"description"`
		Tags          []string `json:"tags"`
		SchemaVersion int      `json:"schemaVersion"`
		Editable      bool     `json:"editable"`
		Refresh       string   `json:"refresh"`
		Time          span     `json:"time"`
		Templating    list     `json:"templating"`
		Panels        []box    `json:"panels"`
	}
	span struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	list struct {
		List []variable `json:"list"`
	}
	variable struct {
		Name       string  `json:"name"`
		Label      string  `json:"label"`
		Type       string  `json:"type"`
		Query      string  `json:"query"`
		Datasource *source `json:"datasource,omitempty"`
		Refresh    int     `json:"refresh,omitempty"` // 2: whenever the time range changes
		Multi      bool    `json:"multi,omitempty"`
		IncludeAll bool    `json:"includeAll,omitempty"`
		AllValue   string  `json:"allValue,omitempty"`
	}
	source struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	box struct {
		ID          int      `json:"id"`
		Type        string   `json:"type"` // row or timeseries
		Title       string   `json:"title"`
		Description string   `json:"description,omitempty"`
		GridPos     grid     `json:"gridPos"`
		Datasource  *source  `json:"datasource,omitempty"`
		FieldConfig *fields  `json:"fieldConfig,omitempty"`
		Targets     []target `json:"targets,omitempty"`
	}
	grid struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	fields struct {
		Defaults struct {
			Unit string `json:"unit"`
			Min  int    `json:"min"`
		} `json:"defaults"`
		Overrides []string `json:"overrides"`
	}
	target struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	}
)

// The dashboard's grid is 24 wide.
const (
	gridWidth   = 24
	panelHeight = 8
)

// Dashboard returns the dashboard of Grafana, to be imported or provisioned.
func Dashboard() ([]byte, error) {
	from := &source{Type: "prometheus", UID: "${datasource}"}
	d := dashboard{
		Title: "Rookery", UID: "rookery", Description: "Jobs from Postgres to workers, through Redis. Written by go generate: change panels.go.",
		Tags: []string{"rookery"}, SchemaVersion: 39, Editable: true, Refresh: "30s", Time: span{"now-6h", "now"},
		Templating: list{[]variable{
			{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"},
			{Name: "queue", Label: "Queue", Type: "query", Query: "label_values(rookery_queue_ready_jobs, queue)", Datasource: from, Refresh: 2, Multi: true, IncludeAll: true, AllValue: ".*"},
		}},
	}
	y := 0
	add := func(b box) {
		b.ID = len(d.Panels) + 1
		d.Panels = append(d.Panels, b)
	}
	for _, r := range rows() {
		add(box{Type: "row", Title: r.title, GridPos: grid{1, gridWidth, 0, y}})
		y++
		width := gridWidth / len(r.panels)
		for i, p := range r.panels {
			b := box{Type: "timeseries", Title: p.title, Description: p.means, GridPos: grid{panelHeight, width, i * width, y}, Datasource: from, FieldConfig: &fields{Overrides: []string{}}}
			b.FieldConfig.Defaults.Unit = p.unit
			for n, l := range p.lines {
				b.Targets = append(b.Targets, target{RefID: string(rune('A' + n)), Expr: l.expr, LegendFormat: l.legend})
			}
			add(b)
		}
		y += panelHeight
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // expressions are full of >
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("encode dashboard: %w", err)
	}
	return text.Bytes(), nil
}
