package dashboard_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// Each action leaves exactly one line, with who did it and from where; a look leaves none.
func TestActions_EachLeavesOneLine(t *testing.T) {
	t.Parallel()
	w := locked(t)
	id := w.visit(job.ScopeAdmin)
	one, two, three := w.insert("mail", "welcome"), w.insert("mail", "welcome"), w.insert("mail", "welcome")
	at := fmt.Sprintf("/ui/jobs/%d", one)
	before := value[int](w, `SELECT count(*) FROM outbox.audit`)
	for _, tt := range []struct {
		target string
		form   url.Values
		lines  string
	}{
		{at + "/cancel", nil, fmt.Sprintf("job.cancel %d mail", one)},
		{at + "/cancel", nil, ""},
		{at + "/redrive", nil, fmt.Sprintf("job.redrive %d mail", one)},
		{at + "/clone", nil, fmt.Sprintf("job.clone %d mail", three+1)},
		{"/ui/jobs/bulk", url.Values{"id": {fmt.Sprint(two), fmt.Sprint(three)}, "action": {"cancel"}}, fmt.Sprintf("job.cancel %d mail, job.cancel %d mail", two, three)},
		{"/ui/jobs/bulk", url.Values{"id": {fmt.Sprint(two)}, "action": {"redrive"}}, fmt.Sprintf("job.redrive %d mail", two)},
		{"/ui/queues/mail/pause", nil, "queue.pause mail mail"},
		{"/ui/queues/mail/resume", nil, "queue.resume mail mail"},
		{"/ui/queues/mail/window", url.Values{"window_size": {"5"}}, "queue.window mail mail"},
	} {
		w.acts(tt.target, tt.form)
		got := value[string](w, `SELECT coalesce(string_agg(concat_ws(' ', action, target, queue_name), ', ' ORDER BY id), '') FROM (SELECT * FROM outbox.audit ORDER BY id OFFSET $1) AS a`, before)
		if got != tt.lines {
			t.Errorf("POST %s left %q, want %q", tt.target, got, tt.lines)
		}
		before = value[int](w, `SELECT count(*) FROM outbox.audit`)
	}
	if n := value[int](w, `SELECT count(*) FROM outbox.audit WHERE principal = 'key:' || $1 AND request_id <> '' AND host(ip) = '192.0.2.1' AND database_role <> ''`, id); n != 9 {
		t.Errorf("%d lines have the key, its request, its address and the role of Postgres, want 9", n)
	}
	w.page("/ui/audit")
	if after := value[int](w, `SELECT count(*) FROM outbox.audit`); after != before {
		t.Error("a look left a line")
	}
}

// The audit is shown the newest first, page by page, by filter; what stands in it is text.
func TestAudit_PagesAndFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if body := w.page("/ui/audit").body; !strings.Contains(body, "Nobody has changed anything yet") {
		t.Error("an empty audit does not say so")
	}
	w.exec(`INSERT INTO outbox.audit (principal, action, target, queue_name, detail, request_id)
		SELECT CASE WHEN n % 2 = 0 THEN 'cli:ada@desk' ELSE 'key:abc' END, 'job.cancel', n::text, 'mail', '{}', '' FROM generate_series(1, 120) AS n`)
	w.exec(`INSERT INTO outbox.audit (principal, action, target, queue_name, detail, request_id) VALUES
		('<script>x</script>', 'queue.pause', 'a"><img src=x>', 'mail', '{"a": "<b>"}', '')`)
	body := w.page("/ui/audit").body
	for _, want := range []string{"&lt;script&gt;x&lt;/script&gt;", "a&#34;&gt;&lt;img src=x&gt;", "&lt;b&gt;", `href="/ui/jobs/120"`, "role "} {
		if !strings.Contains(body, want) {
			t.Errorf("the audit lacks %q", want)
		}
	}
	if strings.Contains(body, "<script>x") || strings.Contains(body, "<img src=x>") {
		t.Error("what stands in the audit is not text")
	}
	if first, second := strings.Index(body, ">120<"), strings.Index(body, ">119<"); first < 0 || second < first {
		t.Error("the newest does not come first")
	}
	count := func(target string) (lines, pages int) {
		for next := regexp.MustCompile(`href="([^"]+)" rel="next"`); target != ""; pages++ {
			body := w.page(target).body
			lines += strings.Count(body, "<tr data-row>")
			m := next.FindStringSubmatch(body)
			if target = ""; m != nil {
				target = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		return lines, pages
	}
	for query, want := range map[string][2]int{
		"": {121, 3}, "?principal=cli:*": {60, 2}, "?principal=key:abc&target=1*": {16, 1}, "?action=queue.*": {1, 1}, "?queue_name=bills": {0, 1}, "?target=7": {1, 1},
	} {
		if lines, pages := count("/ui/audit" + query); lines != want[0] || pages != want[1] {
			t.Errorf("%q shows %d lines on %d pages, want %d on %d", query, lines, pages, want[0], want[1])
		}
	}
	for query, status := range map[string]int{"?before=x": 400, "?before=-1": 400, "?principal=" + strings.Repeat("a", 201): 422} {
		if a := w.get("/ui/audit" + query); a.StatusCode != status {
			t.Errorf("%.30q = %d, want %d", query, a.StatusCode, status)
		}
	}
}
