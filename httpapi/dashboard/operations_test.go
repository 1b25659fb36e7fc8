package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// works runs the API's own goroutines, the one that works at operations among them.
func (w *world) works() {
	w.Helper()
	if err := w.api.Listen(); err != nil {
		w.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.api.Run(ctx) }()
	w.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && ctx.Err() == nil {
			w.Error(err)
		}
	})
}

// confirm reads the form that a confirmation asks to send.
func (w *world) confirm(action, q string) (form url.Values, page string) {
	w.Helper()
	page = w.page("/ui/operations/new?" + url.Values{"action": {action}, "q": {q}}.Encode()).body
	form = url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], strings.ReplaceAll(m[2], "&#43;", "+"))
	}
	return form, page
}

func (w *world) counted(status, kind string) int {
	return value[int](w, `SELECT count(*) FROM outbox.jobs WHERE status = $1 AND kind = $2`, status, kind)
}

// From the list to the question, the operation and its end; jobs that do not match stay
// as they are.
func TestOperation_OverAllThatMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 60 {
		w.insert("mail", "welcome")
	}
	w.insert("mail", "bill")
	link := "/ui/operations/new?action=cancel&amp;q=queue%3Amail&#43;kind%3Awelcome"
	if body := w.page("/ui/jobs?q=queue%3Amail+kind%3Awelcome").body; !strings.Contains(body, link) {
		t.Fatal("the list of a filter does not offer to cancel all that match")
	}
	form, page := w.confirm("cancel", "queue:mail kind:welcome")
	if !strings.Contains(page, "60 jobs at this moment") || strings.Count(page, "data-rowlink") != job.PreviewExamples || form.Get("at") == "" {
		t.Errorf("the confirmation asks for %v:\n%s", form, page)
	}
	if n := value[int](w, `SELECT count(*) FROM outbox.operations`); n != 0 || w.counted("cancelled", "welcome") != 0 {
		t.Error("looking at the confirmation has begun something")
	}
	at := w.acts("/ui/operations", form)
	if body := w.page(at).body; !strings.Contains(body, "running") || !strings.Contains(body, "data-live") || !strings.Contains(body, at+"/cancel") ||
		!strings.Contains(body, "0 of 60 jobs done") || !strings.Contains(body, `max="100" value="0"`) {
		t.Errorf("the page of the operation that runs:\n%s", body)
	}
	w.works()
	devtest.Until(t, patience, "the operation to end", func() (bool, error) {
		return strings.Contains(w.page(at).body, "badge completed"), nil
	})
	body := w.page(at).body
	for _, want := range []string{"60 jobs done in", "queue:mail, kind:welcome", "<dd data-matched>60</dd>", "local"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of what is over lacks %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "data-live") || strings.Contains(body, at+"/cancel") {
		t.Error("the page of what is over is watched, or offers to cancel it")
	}
	if w.counted("cancelled", "welcome") != 60 || w.counted("queued", "bill") != 1 {
		t.Errorf("%d of kind welcome are cancelled, %d of kind bill queued, want 60 and 1", w.counted("cancelled", "welcome"), w.counted("queued", "bill"))
	}
	if who := value[string](w, `SELECT principal || ' ' || action FROM outbox.audit ORDER BY id DESC LIMIT 1`); !strings.HasSuffix(who, " operation.start") {
		t.Errorf("the audit says %q", who)
	}
	if !strings.Contains(w.page("/ui/audit").body, `href="`+at+`"`) {
		t.Error("the audit does not lead to the operation")
	}
	form, _ = w.confirm("delete", "status:cancelled")
	w.acts("/ui/operations", form)
	devtest.Until(t, patience, "what was cancelled to be deleted", func() (bool, error) { return w.counted("cancelled", "welcome") == 0, nil })
}

// since counts from when it was asked for: what a person has seen is what is done,
// however long they think about it.
func TestOperation_SinceIsThatOfTheQuestion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.insert("mail", "welcome")
	form, _ := w.confirm("cancel", "since:1h")
	asked, err := strconv.ParseInt(form.Get("at"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	earlier := time.UnixMilli(asked).Add(-30 * time.Minute)
	form.Set("at", fmt.Sprint(earlier.UnixMilli()))
	w.acts("/ui/operations", form)
	got := value[time.Time](w, `SELECT (filter ->> 'created_after')::timestamptz FROM outbox.operations`)
	if want := earlier.Add(-time.Hour); !got.Equal(want) {
		t.Errorf("the operation takes what was inserted after %s, want %s", got, want)
	}
}

func TestOperation_Cancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.insert("mail", "welcome")
	form, _ := w.confirm("cancel", "queue:mail")
	at := w.acts("/ui/operations", form)
	if to := w.acts(at+"/cancel", nil); to != at || !strings.Contains(w.page(at).body, "badge cancelled") {
		t.Errorf("cancel leads to %s:\n%s", to, w.page(at).body)
	}
	a := w.post(at+"/cancel", nil)
	w.cookies = a.Cookies()
	if !strings.Contains(w.page(at).body, "the operation was over already") {
		t.Error("a second cancel does not say that there was nothing to cancel")
	}
	if w.counted("queued", "welcome") != 1 {
		t.Error("the job of the cancelled operation is not queued any more")
	}
}

func TestOperation_RefusesBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.insert("mail", "welcome")
	for _, tt := range []struct {
		action, q, at string
		status        int
		want          string
	}{
		{"redrive", "queue:mail", "", 422, "status is missing: to redrive say which, dead, cancelled or completed."},
		{"cancel", "status:dead", "", 422, "no such job can be changed by cancel"},
		{"delete", "status:ready", "", 422, "no such job can be changed by delete"},
		{"cancel", "", "", 422, "there must be a filter"},
		{"cancel", "17", "", 422, "there must be a filter"},
		{"purge", "queue:mail", "", 422, "must be redrive, cancel or delete"},
		{"", "queue:mail", "", 422, "must be redrive, cancel or delete"},
		{"cancel", "colour:red", "", 400, "is no filter"},
		{"cancel", "kind:" + strings.Repeat("a", 600), "", 400, "may have 500"},
		{"cancel", "since:1h", "x", 422, "cannot be read"},
		{"cancel", "since:1h", "9223372036854775807", 422, "cannot be read"},
		{"cancel", "since:1h", "1", 422, "cannot be read"},
	} {
		form := url.Values{"action": {tt.action}, "q": {tt.q}, "at": {tt.at}}
		for what, a := range map[string]answer{"POST": w.post("/ui/operations", form), "GET": w.get("/ui/operations/new?" + form.Encode())} {
			if a.StatusCode != tt.status || !strings.Contains(a.body, tt.want) {
				t.Errorf("%s %q of %.40q at %q = %d, want %d with %q:\n%.900s", what, tt.action, tt.q, tt.at, a.StatusCode, tt.status, tt.want, a.body)
			}
		}
	}
	for target, status := range map[string]int{"/ui/operations/1": 404, "/ui/operations/x": 404, "/ui/operations/01": 404, "/ui/operations?before=x": 400, "/ui/operations?before=0": 400} {
		if a := w.get(target); a.StatusCode != status || strings.Contains(a.body, "such job") {
			t.Errorf("GET %s = %d, want %d:\n%s", target, a.StatusCode, status, a.body)
		}
	}
	if a := w.post("/ui/operations/1/cancel", nil); a.StatusCode != http.StatusNotFound || !strings.Contains(a.body, "no such operation") {
		t.Errorf("cancel of none = %d", a.StatusCode)
	}
	if n := value[int](w, `SELECT count(*) FROM outbox.operations`); n != 0 {
		t.Errorf("%d operations were begun by what was refused", n)
	}
	w.exec(`INSERT INTO outbox.operations (action, filter, principal, up_to_id, holder, lease_until) SELECT 'cancel', '{"queue_name": "none"}', 'me', 0, 'me', now() + interval '1 hour' FROM generate_series(1, $1)`, job.MaxRunningOperations)
	if a := w.post("/ui/operations", url.Values{"action": {"cancel"}, "q": {"queue:mail"}}); a.StatusCode != http.StatusTooManyRequests || !strings.Contains(a.body, "100 operations run already") {
		t.Errorf("one too many = %d:\n%s", a.StatusCode, a.body)
	}
}

// A list offers what a filter allows, and nothing without one.
func TestJobs_OfferWhatTheFilterAllows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.insert("mail", "welcome")
	w.kill(w.insert("mail", "welcome"), "boom")
	for q, want := range map[string]string{
		"": "", "queue:none": "", "queue:mail": "cancel delete", "status:dead": "redrive delete", "status:ready": "cancel", "since:1h kind:w*": "cancel delete",
	} {
		var got []string
		for _, m := range regexp.MustCompile(`/ui/operations/new\?action=([a-z]+)&`).FindAllStringSubmatch(w.page("/ui/jobs?q="+url.QueryEscape(q)).body, -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("the list of %q offers %v, want %s", q, got, want)
		}
	}
	_, page := w.confirm("delete", "queue:mail kind:nothing")
	if !strings.Contains(page, "Nothing to do") || strings.Contains(page, "<form method=\"post\" action=\"/ui/operations\"") {
		t.Error("a filter that finds nothing is offered to be done")
	}
	w.exec(`INSERT INTO outbox.jobs (queue_name, kind, payload) SELECT 'many', 'many', '{}' FROM generate_series(1, $1)`, job.BrowseCap+10)
	if _, page := w.confirm("cancel", "queue:many"); !strings.Contains(page, "At least 5,000 jobs") || !strings.Contains(page, "Cancel all that match") {
		t.Errorf("the confirmation of many:\n%s", page)
	}
}

func TestOperations_Pages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if !strings.Contains(w.page("/ui/operations").body, "Nobody has changed many jobs at once yet") {
		t.Error("an empty list does not say so")
	}
	w.exec(`INSERT INTO outbox.operations (action, filter, principal, status, finished_at, up_to_id, matched, done, failed)
		SELECT 'purge', '{"kind": "<script>\"", "queues": ["a", "b*"], "created_before": "2026-01-02T03:04:05Z"}', '<script>', 'completed', now(), 0, 1200, 1100, 100 FROM generate_series(1, 53)`)
	body := w.page("/ui/operations").body
	if strings.Count(body, "data-rowlink") != 50 || !strings.Contains(body, `href="/ui/operations?before=4" rel="next"`) || strings.Contains(body, "<td><script>") {
		t.Errorf("the first page:\n%s", body)
	}
	for _, want := range []string{"1,100", "of 1,200", "queue:a|b*, kind:&#34;&lt;script&gt;\\&#34;&#34;, inserted before 2026-01-02 03:04:05 UTC"} {
		if !strings.Contains(body, want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	body = w.page("/ui/operations?before=4").body
	if strings.Count(body, "data-rowlink") != 3 || strings.Contains(body, `rel="next"`) || !strings.Contains(body, ">First page<") {
		t.Errorf("the last page:\n%s", body)
	}
}

// Viewers look at operations, and may begin and cancel none; nobody may where the
// dashboard is read-only.
func TestOperations_Roles(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		scopes   []job.Scope
		readOnly bool
		may      bool
	}{
		"viewer":    {[]job.Scope{job.ScopeJobsRead, job.ScopeJobsWrite}, false, false},
		"operator":  {[]job.Scope{job.ScopeJobsRead, job.ScopeJobsWrite, job.ScopeQueuesAdmin}, false, true},
		"read-only": {[]job.Scope{job.ScopeAdmin}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *rookery.Config) { c.RequireKey, c.UI.ReadOnly = true, tt.readOnly })
			w.insert("mail", "welcome")
			w.exec(`INSERT INTO outbox.operations (action, filter, principal, up_to_id, holder, lease_until) VALUES ('cancel', '{"queue_name": "mail"}', 'me', 0, 'me', now() + interval '1 hour')`)
			w.visit(tt.scopes...)
			form := url.Values{"action": {"cancel"}, "q": {"queue:mail"}}
			if got := strings.Contains(w.page("/ui/jobs?q=queue%3Amail").body, "/ui/operations/new"); got != tt.may {
				t.Errorf("the list offers all that match = %t, want %t", got, tt.may)
			}
			if got := strings.Contains(w.page("/ui/operations/1").body, "/ui/operations/1/cancel"); got != tt.may {
				t.Errorf("the operation can be cancelled = %t, want %t", got, tt.may)
			}
			w.page("/ui/operations")
			for what, a := range map[string]answer{
				"the confirmation": w.get("/ui/operations/new?" + form.Encode()), "beginning": w.post("/ui/operations", form), "cancelling": w.post("/ui/operations/1/cancel", nil),
			} {
				if refused := a.StatusCode == http.StatusForbidden; refused == tt.may {
					t.Errorf("%s = %d, want it refused: %t", what, a.StatusCode, !tt.may)
				}
			}
			if got, want := value[int](w, `SELECT count(*) FROM outbox.operations`) > 1, tt.may; got != want {
				t.Errorf("an operation was begun = %t, want %t", got, want)
			}
		})
	}
}
