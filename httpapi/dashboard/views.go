package dashboard

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

// views are the pages' templates, each with the layout around it.
type views struct{ pages map[string]*template.Template }

func loadViews(a *assets) (*views, error) {
	layout, err := template.New("layout.html").Funcs(template.FuncMap{
		"asset": a.address,
		"ago":   func(t any) string { return ago(moment(t), time.Now()) },
		"iso":   func(t any) string { return moment(t).UTC().Format("2006-01-02T15:04:05.000Z") },
		"ranges": func() (names []string) {
			for _, r := range chartRanges {
				names = append(names, r.Name)
			}
			return names
		},
		"minute": func(t time.Time) string { return t.UTC().Format("Jan 2 15:04") },
		"number": number,
		"capped": capped,
		"about":  about,
		"span":   span,
		"state":  func(j job.Job) string { return stateOf(j, time.Now()) },
		"plural": plural,
		"bytes":  bytesText,
	}).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	v := &views{pages: map[string]*template.Template{}}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		page, err := layout.Clone()
		if err == nil {
			page, err = page.ParseFS(files, file)
		}
		if err != nil {
			return nil, err
		}
		v.pages[name] = page
	}
	return v, nil
}

// frame is what the layout knows of a page.
type frame struct {
	Title     string
	Nav       string
	Live      bool
	Here      string // the page's own address
	Visitor   Visitor
	May       rights
	Keys      bool // there are keys, and so something to log out of
	ReadOnly  bool
	Version   string
	RequestID string
	Flash     string
	Body      any
}

// render sends a page. It is made in memory first: a fault in a template is then an
// error, not half a page.
func (d *Dashboard) render(w http.ResponseWriter, r *http.Request, v Visitor, status int, c content) {
	f := frame{
		Title: c.title, Nav: c.nav, Live: c.live, Here: r.URL.RequestURI(), Visitor: v, May: d.rights(v), Keys: d.o.Door != nil,
		ReadOnly: d.o.ReadOnly, Version: d.o.Version, RequestID: requestID(w), Flash: takeFlash(w, r), Body: c.body,
	}
	var page bytes.Buffer
	t := d.views.pages[c.template]
	if t == nil {
		http.Error(w, "a template is missing", http.StatusInternalServerError)
		d.log.ErrorContext(r.Context(), "template missing", logPath, c.template)
		return
	}
	if err := t.ExecuteTemplate(&page, "layout.html", f); err != nil {
		http.Error(w, "a template is broken", http.StatusInternalServerError)
		d.log.ErrorContext(r.Context(), "template broken", logRequestID, requestID(w), logPath, c.template, logError, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // a client that is gone is no fault of ours
}

func moment(t any) time.Time {
	switch t := t.(type) {
	case time.Time:
		return t
	case *time.Time:
		if t != nil {
			return *t
		}
	}
	return time.Time{}
}

// ago says how far t lies from now, in its largest unit; the exact time is a tooltip
// away. Both are clocks of their own: it is for reading, and nothing is decided by it.
func ago(t, now time.Time) string {
	switch d := now.Sub(t); {
	case t.IsZero():
		return "–"
	case d < 0:
		return "in " + rough(-d)
	case d < time.Second:
		return "now"
	default:
		return rough(d) + " ago"
	}
}

func rough(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if d >= unit.size {
			return fmt.Sprintf("%d %s", d/unit.size, unit.name)
		}
	}
	return "0 s"
}

// span writes a duration in at most two units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "–"
	case d < time.Millisecond:
		return "0 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return two(d/time.Minute, "min", d%time.Minute/time.Second, "s")
	case d < day:
		return two(d/time.Hour, "h", d%time.Hour/time.Minute, "min")
	default:
		return two(d/day, "d", d%day/time.Hour, "h")
	}
}

func two(a time.Duration, unitA string, b time.Duration, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, unitA)
	}
	return fmt.Sprintf("%d %s %d %s", a, unitA, b, unitB)
}

// number writes n with a comma between thousands.
func number(n any) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// capped writes a count that ended at [job.GlanceCap].
func capped(n int64) string {
	if n >= job.GlanceCap {
		return number(job.GlanceCap) + "+"
	}
	return number(n)
}

// about writes a count of jobs that wait, which ended at [job.QueueCap], or, where it
// is more, is what was counted when the minute began.
func about(n int64) string {
	switch {
	case n < job.QueueCap:
		return number(n)
	case n == job.QueueCap:
		return number(n) + "+"
	case n >= job.StatsCap:
		return number(int64(job.StatsCap)) + "+"
	}
	return "≈ " + number((n+50)/100*100)
}

// bytesText writes a size in units of 1,000.
func bytesText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	size := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		if size /= 1000; size < 999.5 {
			return fmt.Sprintf("%.3g %s", size, unit)
		}
	}
	return fmt.Sprintf("%.3g TB", size/1000)
}

func plural(n any, one, many string) string {
	if fmt.Sprint(n) == "1" {
		return "1 " + one
	}
	return number(n) + " " + many
}

// stateOf is what people call where a job stands. now is this process's clock.
func stateOf(j job.Job, now time.Time) string {
	switch {
	case j.Status != job.Queued:
		return string(j.Status)
	case !j.RunAt.After(now):
		return "ready"
	case j.FailureCount > 0:
		return "retrying"
	}
	return "scheduled"
}
