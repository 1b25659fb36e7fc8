package dashboard_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func TestPages_OfAnEmptyHouse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for target, want := range map[string]string{
		"/ui/": "No job has come yet", "/ui/jobs": "No job is like this", "/ui/queues": "No queue yet", "/ui/workers": "rookery relay",
		"/ui/dead": "No dead letters", "/ui/storage": "refuses writes", "/ui/about": "262,144 bytes",
	} {
		a := w.page(target)
		if !strings.Contains(a.body, want) {
			t.Errorf("%s lacks %q", target, want)
		}
		h := a.Header
		if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; style-src 'self';") ||
			h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: headers = %v", target, h)
		}
	}
	for target, status := range map[string]int{
		"/ui/jobs/1": 404, "/ui/jobs/x": 404, "/ui/jobs/01": 404, "/ui/queues/none": 404, "/ui/nowhere": 404, "/ui/jobs/1/payload": 404,
		"/ui/jobs?after=x": 400, "/ui": 308, "/ui/static/0/app.css": 404,
	} {
		if a := w.get(target); a.StatusCode != status {
			t.Errorf("GET %s = %d, want %d", target, a.StatusCode, status)
		}
	}
}

func TestAssets_AreKeptForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	found := regexp.MustCompile(`/ui/static/[0-9a-f]+/[a-z.]+`).FindAllString(w.page("/ui/").body, -1)
	if len(found) < 5 {
		t.Fatalf("assets = %v", found)
	}
	for _, target := range found {
		a := w.get(target)
		if a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("GET %s = %d %s", target, a.StatusCode, a.Header.Get("Cache-Control"))
		}
	}
}

func TestJobs_SearchAndPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for i := range 120 {
		w.insert("mail", fmt.Sprintf("kind-%d", i%3))
	}
	other := w.insert("bills", "bill")
	w.kill(other, "boom")
	seen, target, pages := 0, "/ui/jobs?q=queue%3Amail", 0
	for next := regexp.MustCompile(`href="([^"]+)" rel="next"`); target != ""; pages++ {
		body := w.page(target).body
		seen += strings.Count(body, "data-rowlink")
		target = ""
		if m := next.FindStringSubmatch(body); m != nil {
			target = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if seen != 120 || pages != 3 {
		t.Errorf("queue:mail shows %d jobs on %d pages, want 120 on 3", seen, pages)
	}
	for q, want := range map[string]int{"kind:kind-1": 40, "kind:kind-*": 50, "status:dead": 1, "status:ready queue:bills": 0, "queue:bills": 1, "since:1h kind:bill": 1, "status:running": 0} {
		if got := strings.Count(w.page("/ui/jobs?q="+url.QueryEscape(q)).body, "data-rowlink"); got != want {
			t.Errorf("%s shows %d jobs, want %d", q, got, want)
		}
	}
	w.exec(`SELECT outbox.enqueue('later', '{}', run_at => now() + interval '2 hours 5 minutes')`)
	if body := w.page("/ui/jobs?q=status%3Ascheduled").body; !strings.Contains(body, ">in 2 h<") {
		t.Error("the list of scheduled jobs does not say when they are due")
	}
	if a := w.get("/ui/jobs?q=" + fmt.Sprint(other)); a.Header.Get("Location") != fmt.Sprintf("/ui/jobs/%d", other) {
		t.Errorf("a bare id leads to %q", a.Header.Get("Location"))
	}
	if body := w.page("/ui/jobs?q=colour:red").body; !strings.Contains(body, "is no filter") || !strings.Contains(body, `value="colour:red"`) {
		t.Error("a search that cannot be read does not say so, or forgets what was written")
	}
}

func TestJob_ShowsItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.insert("mail", "welcome")
	w.insert("mail", "welcome")
	body := w.page(fmt.Sprintf("/ui/jobs/%d", id)).body
	for _, want := range []string{"No relay has said", "ready", "inserted", "0 of 25"} {
		if !strings.Contains(body, want) {
			t.Errorf("a queued job's page lacks %q", want)
		}
	}
	w.kill(id, "smtp: 421 too many")
	body = w.page(fmt.Sprintf("/ui/jobs/%d", id)).body
	for _, want := range []string{"which is all it was allowed", "smtp: 421 too many", "failed, the last one allowed", "2.0 s", "worker-1", "Redrive"} {
		if !strings.Contains(body, want) {
			t.Errorf("a dead job's page lacks %q", want)
		}
	}
	if body := w.page("/ui/dead").body; !strings.Contains(body, "smtp: # too many") {
		t.Error("the dead letters are not grouped without their numbers")
	}
}

func TestPayload_IsShownWhenAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.insert("mail", "welcome")
	at := fmt.Sprintf("/ui/jobs/%d", id)
	if strings.Contains(w.page(at).body, "secret@") {
		t.Error("the payload is shown without being asked for")
	}
	if body := w.page(at + "?reveal=payload").body; !strings.Contains(body, "secret@example.com") || !strings.Contains(body, "12345678901234567890") {
		t.Error("the payload that was asked for is missing, or its number has changed")
	}
	a := w.get(at + "/payload")
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment;") || !strings.Contains(a.body, "secret@") {
		t.Errorf("the payload as text = %d %v", a.StatusCode, a.Header)
	}
}

func TestActions_DoWhatTheySay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id, second, third := w.insert("mail", "welcome"), w.insert("mail", "welcome"), w.insert("mail", "welcome")
	status := func(id int64) string { return value[string](w, `SELECT status FROM outbox.jobs WHERE id = $1`, id) }
	at := fmt.Sprintf("/ui/jobs/%d", id)
	if to := w.acts(at+"/cancel", nil); to != at || status(id) != "cancelled" {
		t.Errorf("cancel leads to %s, job is %s", to, status(id))
	}
	if w.acts(at+"/redrive", nil); status(id) != "queued" {
		t.Errorf("redriven job is %s", status(id))
	}
	to := w.acts(at+"/clone", nil)
	if got := value[string](w, `SELECT queue_name || ' ' || kind || ' ' || (payload ->> 'to') FROM outbox.jobs WHERE id = $1`, strings.TrimPrefix(to, "/ui/jobs/")); got != "mail welcome secret@example.com" {
		t.Errorf("clone = %s", got)
	}
	marked := url.Values{"id": {fmt.Sprint(id), fmt.Sprint(second), "999999"}, "action": {"cancel"}, "back": {"queue:mail"}}
	if to := w.acts("/ui/jobs/bulk", marked); to != "/ui/jobs?q=queue%3Amail" || status(id) != "cancelled" || status(second) != "cancelled" || status(third) != "queued" {
		t.Errorf("bulk cancel leads to %s; jobs are %s, %s, %s", to, status(id), status(second), status(third))
	}
	paused := func() bool { return value[bool](w, `SELECT paused FROM outbox.queues WHERE name = 'mail'`) }
	if w.acts("/ui/queues/mail/pause", nil); !paused() {
		t.Error("the queue is not paused")
	}
	if !strings.Contains(w.page("/ui/queues/mail").body, "Resume") {
		t.Error("the page of a paused queue does not offer to resume it")
	}
	if w.acts("/ui/queues/mail/resume", nil); paused() {
		t.Error("the queue is still paused")
	}
	if w.acts("/ui/queues/mail/window", url.Values{"window_size": {"77"}}); value[int](w, `SELECT window_size FROM outbox.queues WHERE name = 'mail'`) != 77 {
		t.Error("the window is not set")
	}
}

func TestActions_RefuseBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.insert("mail", "welcome")
	many := url.Values{"action": {"cancel"}}
	for i := range 51 {
		many.Add("id", fmt.Sprint(i+1))
	}
	for _, tt := range []struct {
		target string
		form   url.Values
		status int
		want   string
	}{
		{"/ui/jobs/999/cancel", nil, 404, "no such job"},
		{"/ui/jobs/x/cancel", nil, 404, "whole number"},
		{"/ui/jobs/bulk", url.Values{"action": {"cancel"}}, 422, "mark 1 to 50"},
		{"/ui/jobs/bulk", many, 422, "51 jobs are marked"},
		{"/ui/jobs/bulk", url.Values{"action": {"explode"}, "id": {"1"}}, 422, "cancel or redrive"},
		{"/ui/jobs/bulk", url.Values{"action": {"cancel"}, "id": {"-1"}}, 404, "whole number"},
		{"/ui/queues/none/pause", nil, 404, "no such queue"},
		{"/ui/queues/mail/window", url.Values{"window_size": {"0"}}, 422, "from 1 to 1,000,000"},
		{"/ui/queues/mail/window", url.Values{"window_size": {fmt.Sprint(job.MaxWindow + 1)}}, 422, "from 1 to 1,000,000"},
		{"/ui/queues/mail/window", nil, 422, "from 1 to 1,000,000"},
		{"/ui/jobs/1/cancel", url.Values{"x": {strings.Repeat("a", 1<<16)}}, 400, "65,536 bytes"},
	} {
		if a := w.post(tt.target, tt.form); a.StatusCode != tt.status || !strings.Contains(a.body, tt.want) {
			t.Errorf("POST %s = %d, want %d with %q:\n%.300s", tt.target, a.StatusCode, tt.status, tt.want, a.body)
		}
	}
	if a := w.get("/ui/jobs/1/cancel"); a.StatusCode == http.StatusSeeOther || value[string](w, `SELECT status FROM outbox.jobs WHERE id = 1`) != "queued" {
		t.Errorf("GET of an action = %d", a.StatusCode)
	}
}

func TestActions_FromElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rookery.Config) { c.APIKeys = []string{key} })
	w.insert("mail", "welcome")
	w.login(key)
	for _, from := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}} {
		r := httptest.NewRequest(http.MethodPost, "/ui/jobs/1/cancel", nil)
		for name, v := range from {
			r.Header.Set(name, v)
		}
		if a := w.do(r); a.StatusCode != http.StatusForbidden {
			t.Errorf("a post with %v = %d, want 403", from, a.StatusCode)
		}
	}
	if got := value[string](w, `SELECT status FROM outbox.jobs WHERE id = 1`); got != "queued" {
		t.Errorf("the job is %s", got)
	}
}
