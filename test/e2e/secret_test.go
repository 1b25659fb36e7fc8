package e2e

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Payloads, headers, keys and passwords pass through all processes at debug level,
// with jobs that succeed, fail, panic, cannot be decoded, repeat their payload on
// standard error, and are refused; through lost connections too. None may turn up in
// a log, in the metrics, or in an answer to somebody who has not asked for it.
func TestSecrets_AreNowhereSaid(t *testing.T) {
	slow(t)
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			secretsStayInside(t, format)
		})
	}
}

func secretsStayInside(t *testing.T, format string) {
	t.Helper()
	const key, wrong = "Marked-Api-Key-0123456789", "Marked-Wrong-Key-0123456789"
	const payload, header, password = "Marked-Payload", "Marked-Header", "Marked-Password"
	secrets := []string{key, wrong, payload, header, password}
	w := newWorld(t, worldOptions{})
	env := func(command string) []string {
		all := append(w.env(command), "ROOKERY_LOG_LEVEL=debug", "ROOKERY_LOG_FORMAT="+format, "ROOKERY_API_KEYS="+key)
		for i, line := range all {
			name, value, _ := strings.Cut(line, "=")
			u, err := url.Parse(value)
			if err != nil || u.User == nil {
				continue
			}
			if given, ok := u.User.Password(); ok {
				secrets = append(secrets, given)
			} else {
				u.User = url.UserPassword(u.User.Username(), password) // Postgres here asks for none
			}
			all[i] = name + "=" + u.String()
		}
		return all
	}
	serve, base := w.serve(env("serve")...)
	bearer := []string{"Authorization", "Bearer " + key}
	worker := w.worker(5, env("worker")...)
	echo := w.start("worker --exec", env("worker"), program("rookery"), "worker", "--queue", "echo", "--exec", "cat >&2; exit 1", "--http", "127.0.0.1:0")

	var said strings.Builder
	note := func(method, path, body string, want int, header ...string) {
		t.Helper()
		status, text := call(t, method, base+path, body, header...)
		if status != want {
			t.Errorf("%s %s = %d %s, want %d", method, path, status, text, want)
		}
		said.WriteString(text)
	}
	marked := func(more string) string {
		return job(`"max_attempts": 1, "headers": {"h": "` + header + `"}, "payload": {"secret": "` + payload + `"` + more + `}`)
	}
	ended := []int64{}
	for _, more := range []string{``, `, "do": "fail"`, `, "do": "panic"`, `, "do": {"` + payload + `": 1}`} {
		ended = append(ended, w.post(base, marked(more), bearer...).ID)
	}
	repeated := w.post(base, strings.Replace(marked(``), queue, "echo", 1), bearer...).ID
	for _, body := range []string{
		`{"payload": "` + payload, `"` + payload + `"`, marked(`, "nul": "\u0000"`), marked(`, "n": 1e1000000`), job(`"priority": "` + payload + `"`), job(`"run_at": "` + payload + `"`),
	} {
		note(http.MethodPost, "/v1/jobs", body, map[bool]int{true: 400, false: 422}[strings.HasSuffix(body, payload)], bearer...)
	}
	note(http.MethodPost, "/v1/jobs", marked(``), 401, "Authorization", "Bearer "+wrong)
	w.until(patience, "all jobs to end", `SELECT count(*) = 5 FROM outbox.jobs WHERE status IN ('completed', 'dead')`)

	// What errors say when servers go away is the likeliest place for a URL.
	w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE 'rookery%'`)
	if err := w.redis.Signal(kill); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "the loss to be noticed", func() (bool, error) { return strings.Contains(serve.err.String()+worker.err.String(), "WARN"), nil })
	if err := w.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ended {
		note(http.MethodGet, "/v1/queues", "", 200, bearer...)
		status, text := call(t, http.MethodGet, base+"/v1/jobs/"+strconv.FormatInt(id, 10), "", bearer...)
		if status != http.StatusOK || strings.Contains(text, payload) && !strings.Contains(text, "cannot unmarshal") {
			t.Errorf("GET of job %d = %d %s, want it without its payload", id, status, text)
		}
	}
	note(http.MethodGet, "/metrics", "", 200, bearer...)
	note(http.MethodGet, "/readyz?verbose", "", 200)
	said.WriteString(w.mustCLI("jobs", "list") + w.mustCLI("queues"))
	for _, p := range []*process{serve, worker, echo} {
		p.terminate(30 * time.Second)
		said.WriteString(p.out.String() + p.err.String())
	}
	if !strings.Contains(said.String(), "attempt ended") || !strings.Contains(said.String(), "http request") {
		t.Error("the logs are not at debug level: nothing was proved")
	}
	for line := range strings.Lines(said.String()) {
		for _, s := range secrets {
			if strings.Contains(line, s) && !strings.HasPrefix(line, strconv.FormatInt(repeated, 10)+" ") { // its handler said so, and people may read what handlers say
				t.Errorf("%s came out: %.300s", s, line)
			}
		}
	}
}
