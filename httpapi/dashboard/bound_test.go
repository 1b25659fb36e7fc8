package dashboard_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/httpapi/dashboard"
	"github.com/penguinmails/rookery/job"
)

// The queues of these tests. What stands in jobs, dead letters and workers of theirs has
// the word foreign in it.
const mine, theirs = "mine.a", "theirs.b"

// cell is what a page makes of a visitor whose key is for some queues. In its addresses
// and forms %q is a queue, %d a job, %D a dead one and %o an operation.
type cell struct {
	open      bool   // needs no key
	elsewhere bool   // another test looks at it
	shows     string // a list, which shows this and nothing foreign
	query     string
	form      string
	own       int // status for what is theirs; 0: as foreign
	foreign   int // and for what is not
}

// pageMatrix has a cell for every page and action. Who adds one says here what somebody
// with a key for some queues may see and do there.
func pageMatrix() map[string]cell {
	const found, refused, missing = http.StatusSeeOther, http.StatusForbidden, http.StatusNotFound
	return map[string]cell{
		"GET /ui/static/{hash}/{name}": {open: true}, "GET /ui/login": {open: true}, "POST /ui/login": {open: true}, "POST /ui/logout": {open: true},
		"GET /ui/login/issuer": {open: true}, "GET /ui/login/back": {open: true}, // TestSignOn_RolesAreClaims
		"GET /ui/stream": {elsewhere: true}, // tells when, not what: TestGlance_OfSomeQueues

		"GET /ui/{$}":                      {shows: mine},
		"GET /ui/jobs":                     {shows: "ownkind"},
		"GET /ui/operations":               {shows: "queue:" + mine},
		"GET /ui/queues":                   {shows: mine},
		"GET /ui/workers":                  {shows: "ownworker"},
		"GET /ui/webhooks":                 {shows: "own.example"},
		"GET /ui/dead":                     {shows: "ownerror"},
		"GET /ui/about":                    {shows: "mine.*"},
		"GET /ui/storage":                  {foreign: refused},
		"GET /ui/audit":                    {foreign: refused},
		"GET /ui/figures":                  {query: "?queue=%q", own: 200, foreign: refused},
		"GET /ui/charts":                   {query: "?queue=%q", own: 200, foreign: refused},
		"GET /ui/queues/{name}":            {own: 200, foreign: missing},
		"GET /ui/jobs/{id}":                {query: "?reveal=payload", own: 200, foreign: missing},
		"GET /ui/jobs/{id}/payload":        {own: 200, foreign: missing},
		"GET /ui/operations/{id}":          {own: 200, foreign: missing},
		"GET /ui/operations/new":           {query: "?action=cancel&q=queue:%q", own: 200, foreign: refused},
		"POST /ui/jobs/{id}/cancel":        {own: found, foreign: missing},
		"POST /ui/jobs/{id}/redrive":       {own: found, foreign: missing},
		"POST /ui/jobs/{id}/clone":         {own: found, foreign: missing},
		"POST /ui/jobs/bulk":               {form: "action=cancel&id=%d", own: found, foreign: found}, // says "over already", and changes nothing
		"POST /ui/operations":              {form: "action=cancel&q=queue:%q", own: found, foreign: refused},
		"POST /ui/operations/{id}/cancel":  {own: found, foreign: missing},
		"POST /ui/queues/{name}/pause":     {own: found, foreign: missing},
		"POST /ui/queues/{name}/resume":    {own: found, foreign: missing},
		"POST /ui/webhooks/{name}/enable":  {own: found, foreign: missing},
		"POST /ui/webhooks/{name}/disable": {own: found, foreign: missing},
		"POST /ui/queues/{name}/window":    {form: "window_size=5", own: refused, foreign: refused}, // takes an admin
		"/ui/":                             {own: missing, foreign: missing},
	}
}

// shared is a house in which two parties have jobs, dead letters, operations and workers,
// visited by somebody with a key for the first one's.
func shared(t *testing.T, queues ...string) *world {
	t.Helper()
	w := locked(t)
	for queue, word := range map[string]string{mine: "own", theirs: "foreign"} {
		w.insert(queue, word+"kind")
		dead := w.insert(queue, word+"kind")
		w.kill(dead, word+"error")
		w.exec(`INSERT INTO outbox.processes (id, role, host, pid, epochs) VALUES ($1, 'worker', $2, 1, jsonb_build_object($3::text, 1))`, word+"worker", word+"host", queue)
		w.operation(queue)
		w.endpoint(queue, "https://"+word+".example/")
	}
	w.exec(`INSERT INTO outbox.processes (id, role, host, pid, epochs) VALUES ('foreignrelay', 'relay', 'foreignhost', 1, $1), ('bothworker', 'worker', 'h', 1, $1)`,
		fmt.Sprintf(`{"%s": 1, "%s": 1}`, mine, theirs))
	w.exec(`INSERT INTO outbox.operations (action, filter, principal, up_to_id) VALUES ('cancel', '{"kind": "foreignfilter"}', 'key:foreignkey', 1)`)
	text, _ := w.makeKey(job.APIKey{Scopes: job.Scopes()[:5], Queues: queues})
	w.login(text)
	return w
}

// operation begins one on a queue, of which nobody takes it up.
func (w *world) operation(queue string) int64 {
	w.Helper()
	return value[int64](w, `INSERT INTO outbox.operations (action, filter, principal, up_to_id) VALUES ('cancel', jsonb_build_object('queue_name', $1::text), 'config', 0) RETURNING id`, queue)
}

// what is all that an action could change.
func (w *world) what() string {
	w.Helper()
	return value[string](w, `SELECT (SELECT string_agg(j.id || j.status || j.queue_name, ' ' ORDER BY j.id) FROM outbox.jobs AS j)
		|| (SELECT string_agg(q.name || q.paused || q.window_size, ' ' ORDER BY q.name) FROM outbox.queues AS q)
		|| (SELECT string_agg(e.queue_name || coalesce(e.disabled_reason, ''), ' ' ORDER BY e.queue_name) FROM outbox.endpoints AS e)
		|| coalesce((SELECT string_agg(o.id || o.status, ' ' ORDER BY o.id) FROM outbox.operations AS o), '')`)
}

// ask does what a pattern is for, on a queue and what is in it.
func (w *world) ask(pattern string, c cell, queue string) answer {
	w.Helper()
	id, op := w.insert(queue, "somekind"), w.operation(queue)
	if strings.Contains(pattern, "redrive") {
		w.exec(`SELECT outbox.cancel($1)`, id)
	}
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = http.MethodGet, pattern+"nowhere"
	}
	if strings.Contains(path, "/operations/{id}") {
		id = op
	}
	fill := strings.NewReplacer("{$}", "", "{id}", fmt.Sprint(id), "{name}", queue, "%q", queue, "%d", fmt.Sprint(id))
	if method == http.MethodGet {
		return w.get(fill.Replace(path + c.query))
	}
	form, err := url.ParseQuery(fill.Replace(c.form))
	if err != nil {
		w.Fatal(err)
	}
	before := w.what()
	a := w.post(fill.Replace(path), form)
	if queue == theirs && w.what() != before {
		w.Errorf("%s on another's queue changed something", pattern)
	}
	return a
}

// TestBoundKeys_EveryPage tries every page and action with a key for some queues, on
// these and on others. A page that the matrix does not have fails.
func TestBoundKeys_EveryPage(t *testing.T) {
	t.Parallel()
	w := shared(t, "mine.*", "spare")
	cells := pageMatrix()
	for _, pattern := range dashboard.Patterns() {
		c, listed := cells[pattern]
		if delete(cells, pattern); !listed {
			t.Errorf("%s is not in the matrix: say what somebody with a key for some queues may see and do there", pattern)
			continue
		}
		switch {
		case c.open, c.elsewhere:
		case c.shows != "":
			a := w.ask(pattern, c, theirs)
			if a.StatusCode != http.StatusOK || !strings.Contains(a.body, c.shows) || strings.Contains(a.body, "foreign") || strings.Contains(a.body, theirs) {
				t.Errorf("%s = %d, want %q and nothing foreign:\n%s", pattern, a.StatusCode, c.shows, a.body)
			}
		default:
			for queue, want := range map[string]int{mine: c.own, theirs: c.foreign} {
				if want == 0 {
					want = c.foreign
				}
				a := w.ask(pattern, c, queue)
				if a.StatusCode != want || queue == theirs && strings.Contains(a.body, "foreign") {
					t.Errorf("%s on %s = %d, want %d:\n%s", pattern, queue, a.StatusCode, want, a.body)
				}
			}
		}
	}
	for pattern := range cells {
		t.Errorf("the matrix has %s, which is no page", pattern)
	}
}

// What is about all queues is not offered to who may not have it, and says so when asked.
func TestBoundKeys_WholePagesAreNotOffered(t *testing.T) {
	t.Parallel()
	w := shared(t, "mine.*")
	overview := w.page("/ui/").body
	for _, link := range []string{"/ui/storage", "/ui/audit", `id="charts"`, "<polyline"} {
		if strings.Contains(overview, link) {
			t.Errorf("the overview offers %s", link)
		}
	}
	if about := w.page("/ui/about").body; strings.Contains(about, "Settings of this process") {
		t.Error("the settings of the process are shown")
	}
	for target, says := range map[string]string{
		"/ui/storage": "about all queues", "/ui/audit": "about all queues", "/ui/figures": "name one of yours", "/ui/charts": "name one of yours",
		"/ui/jobs?q=queue:theirs.b": "not for the queue theirs.b",
	} {
		if a := w.get(target); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, says) {
			t.Errorf("%s = %d, want 403 that says %q:\n%s", target, a.StatusCode, says, a.body)
		}
	}
	if body := w.page("/ui/jobs?q=status:ready").body; !strings.Contains(body, "takes one of them beside it") || strings.Contains(body, "ownkind") {
		t.Error("ready jobs of several queues are listed: the place of the next page would name another's")
	}
	one := shared(t, mine) // a key for one queue need not name it
	for target, want := range map[string]string{"/ui/": `data-queue="mine.a"`, "/ui/figures": "of queue", "/ui/jobs?q=status:ready": "ownkind"} {
		if body := one.page(target).body; !strings.Contains(body, want) || strings.Contains(body, "foreign") {
			t.Errorf("%s with a key for one queue lacks %q:\n%s", target, want, body)
		}
	}
}

// What an operator with such a key does in bulk stays within its queues.
func TestBoundKeys_BulkStaysWithin(t *testing.T) {
	t.Parallel()
	w := shared(t, "mine.*", "spare")
	own, other := w.insert(mine, "k"), w.insert(theirs, "k")
	w.acts("/ui/jobs/bulk", url.Values{"action": {"cancel"}, "id": {fmt.Sprint(own), fmt.Sprint(other), "4711"}})
	if got := value[string](w, `SELECT string_agg(status, ' ' ORDER BY id) FROM outbox.jobs WHERE id IN ($1, $2)`, own, other); got != "cancelled queued" {
		t.Errorf("after a cancel of both the jobs are %s", got)
	}
	confirm := w.page("/ui/operations/new?action=cancel&q=status:ready").body
	if strings.Contains(confirm, "foreign") || !strings.Contains(confirm, "ownkind") {
		t.Errorf("the question shows jobs of others:\n%s", confirm)
	}
	to := w.acts("/ui/operations", url.Values{"action": {"cancel"}, "q": {"status:ready"}})
	w.page(to)
	filter := value[string](w, `SELECT filter::text FROM outbox.operations ORDER BY id DESC LIMIT 1`)
	if !regexp.MustCompile(`"queues": \["mine\.\*", "spare"\]`).MatchString(filter) {
		t.Errorf("the operation's filter is %s, want it to have the key's queues", filter)
	}
	// Another's place in a list shows no more than one's own.
	all, _ := w.makeKey(job.APIKey{Scopes: []job.Scope{job.ScopeAdmin}})
	cookies := w.cookies
	for range 60 {
		w.insert(theirs, "foreignkind")
	}
	w.login(all)
	next := regexp.MustCompile(`href="(/ui/jobs\?after=[^"]+)"`).FindStringSubmatch(w.page("/ui/jobs").body)
	if next == nil {
		t.Fatal("the list of all jobs has one page")
	}
	w.cookies = cookies
	if body := w.page(next[1]).body; strings.Contains(body, "foreign") || !strings.Contains(body, "ownkind") {
		t.Errorf("another's place shows jobs of others:\n%s", body)
	}
}
