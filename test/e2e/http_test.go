package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// call makes one request and returns status and body.
func call(t testing.TB, method, url, body string, header ...string) (int, string) {
	t.Helper()
	status, _, text := request(t, method, url, body, header...)
	return status, text
}

// request also returns the answer's header.
func request(t testing.TB, method, url, body string, header ...string) (status int, of http.Header, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(all)
}

// serve starts API and relay, and returns the API's URL.
func (w *world) serve(env ...string) (p *process, base string) {
	w.t.Helper()
	return w.serveOf(program("rookery"), env...)
}

// serveOf is serve for another binary.
func (w *world) serveOf(binary string, env ...string) (p *process, base string) {
	w.t.Helper()
	p = w.start(filepath.Base(filepath.Dir(binary))+" serve", w.env("serve", env...), binary, "serve", "--http", "127.0.0.1:0")
	p.says(patience, "rookery: listening on ")
	_, rest, _ := strings.Cut(p.err.String(), "rookery: listening on ")
	return p, strings.Fields(rest)[0]
}

// document is what the API says of a job.
type document struct {
	ID       int64  `json:"id"`
	Status   string `json:"status"`
	Attempts []struct {
		Outcome string          `json:"outcome"`
		Error   json.RawMessage `json:"error"`
	} `json:"attempts"`
	Live *struct {
		State    string `json:"state"`
		WorkerID string `json:"worker_id"`
	} `json:"live"`
}

// post inserts one job by HTTP.
func (w *world) post(base, body string, header ...string) document {
	w.t.Helper()
	status, text := call(w.t, http.MethodPost, base+"/v1/jobs", body, header...)
	if status != http.StatusCreated {
		w.t.Fatalf("POST %s = %d: %s", body, status, text)
	}
	var d document
	decode(w.t, text, &d)
	w.committed = append(w.committed, d.ID)
	return d
}

func decode(t testing.TB, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func job(body string) string { return `{"queue_name": "` + queue + `", ` + body + `}` }

func TestHTTP_JobsBatchesAndTheExpressLane(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 10 * time.Second})
	_, base := w.serve()
	w.worker(10)
	plain := w.post(base, job(`"payload": {}`))
	w.untilStatus(patience, "completed", []int64{plain.ID})

	status, text := call(t, http.MethodPost, base+"/v1/jobs/batch", `{"jobs": [`+job(`"payload": {}`)+`,`+job(`"priority": 300`)+`]}`)
	var batch struct{ Jobs []document }
	if decode(t, text, &batch); status != http.StatusCreated || len(batch.Jobs) != 2 {
		t.Fatalf("POST batch = %d: %s", status, text)
	}
	w.committed = append(w.committed, batch.Jobs[0].ID, batch.Jobs[1].ID)

	// The lane agrees once the relay knows the queue's depth.
	devtest.Until(t, patience, "the express lane", func() (bool, error) {
		return w.post(base, job(`"priority": 10`)).Status == "dispatched", nil
	})

	file, open := w.step()
	held := w.post(base, job(`"payload": `+waiting(file)))
	var d document
	devtest.Until(t, patience, "the live status to be leased", func() (bool, error) {
		d = document{}
		decode(t, get(t, base+"/v1/jobs/"+strconv.FormatInt(held.ID, 10)), &d)
		return d.Live != nil && d.Live.State == "leased", nil
	})
	open()
	bad := w.post(base, job(`"payload": {"do": "fail"}, "max_attempts": 1`))
	w.untilStatus(patience, "dead", []int64{bad.ID})
	d = document{}
	decode(t, get(t, base+"/v1/jobs/"+strconv.FormatInt(bad.ID, 10)), &d)
	if d.Status != "dead" || len(d.Attempts) != 1 || !strings.Contains(string(d.Attempts[0].Error), "told to fail") {
		t.Errorf("the failed job is shown as %+v", d)
	}
	if text := get(t, base+"/v1/queues"); !strings.Contains(text, queue) {
		t.Errorf("GET /v1/queues = %s", text)
	}
	if text := get(t, base+"/metrics"); !strings.Contains(text, "rookery_relay_batches_total") {
		t.Error("GET /metrics has no relay metrics")
	}
	w.verify(patience, allowance{status: map[int64]string{bad.ID: "dead"}})
}

func TestHTTP_RefusesBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	_, base := w.serve()
	for _, c := range []struct{ path, body string }{
		{"/v1/jobs", `{`},
		{"/v1/jobs", `[]`},
		{"/v1/jobs", job(`"unknown": 1`)},
		{"/v1/jobs", job(`"priority": "high"`)},
		{"/v1/jobs", job(`"priority": 1001`)},
		{"/v1/jobs", job(`"max_attempts": 0`)},
		{"/v1/jobs", job(`"payload": "\u0000"`)},
		{"/v1/jobs", job(`"payload": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000))},
		{"/v1/jobs", job(`"payload": "` + strings.Repeat("x", 300_000) + `"`)},
		{"/v1/jobs", job(`"run_at": "99999-01-01T00:00:00Z"`)},
		{"/v1/jobs", `{"queue_name": "{x}"}`},
		{"/v1/jobs/batch", `{"jobs": []}`},
		{"/v1/jobs/batch", `{"jobs": [` + job(`"payload": 1`) + `, {"queue_name": ""}]}`},
	} {
		status, header, text := request(t, http.MethodPost, base+c.path, c.body)
		if kind := header.Get("Content-Type"); status < 400 || status > 499 || kind != "application/problem+json" {
			t.Errorf("POST %s %.60s = %d %s: %.200s, want a 4xx problem", c.path, c.body, status, kind, text)
		}
	}
	if n := w.count(`SELECT count(*) FROM outbox.jobs`); n != 0 {
		t.Errorf("%d jobs were inserted by bad requests", n)
	}
	if status, _ := call(t, http.MethodGet, base+"/v1/jobs/12345", ""); status != http.StatusNotFound {
		t.Errorf("GET of no job = %d, want 404", status)
	}
}

// Redis is no reason not to take jobs.
func TestHTTP_EnqueuesWithoutRedis(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	_, base := w.serve()
	worker := w.rookery("worker --http 127.0.0.1:0 --queue other --exec /bin/true")
	worker.says(patience, "http api listens")
	w.worker(10)
	w.untilStatus(patience, "completed", []int64{w.post(base, job(`"payload": {}`)).ID})
	if err := w.redis.Signal(kill); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(worker.err.String(), "http api listens\" addr=")
	window := "http://" + strings.Fields(rest)[0]
	devtest.Until(t, patience, "the worker to say how it goes on", func() (bool, error) {
		status, text := call(t, http.MethodGet, window+"/readyz", "")
		return status == http.StatusOK && strings.Contains(text, `"state":"degraded"`) && strings.Contains(text, "jobs of 1 queues taken from it"), nil
	})
	for range 5 {
		w.post(base, job(`"payload": {}`))
		w.post(base, job(`"priority": 10`))
		if text := get(t, base+"/readyz"); !strings.Contains(text, `"ready":true`) || !strings.Contains(text, "workers take jobs from Postgres") {
			t.Errorf("GET /readyz without Redis = %s", text)
		}
	}
	if err := w.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.verify(patience, allowance{})
}

func TestHTTP_PostgresAwayIs503(t *testing.T) {
	slow(t)
	t.Parallel()
	server := devtest.PostgresServer(t, nil)
	devtest.Migrate(t, server.URL("postgres"))
	w := newWorld(t, worldOptions{postgres: server})
	_, base := w.serve()
	w.post(base, job(`"payload": {}`))
	if err := server.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "503 with Retry-After", func() (bool, error) {
		status, header, text := request(t, http.MethodPost, base+"/v1/jobs", job(`"payload": {}`))
		if status == http.StatusCreated {
			return false, nil // not down yet
		}
		if after := header.Get("Retry-After"); status != http.StatusServiceUnavailable || after == "" || !strings.Contains(text, `"unavailable"`) {
			t.Errorf("POST without Postgres = %d, Retry-After %q: %s", status, after, text)
		}
		return true, nil
	})
	devtest.Until(t, patience, "readyz to say so", func() (bool, error) {
		status, _ := call(t, http.MethodGet, base+"/readyz", "")
		return status == http.StatusServiceUnavailable, nil
	})
	if err := server.Restart(t.Context(), "fast"); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "Postgres to be used again", func() (bool, error) {
		status, _ := call(t, http.MethodPost, base+"/v1/jobs", job(`"payload": {}`))
		return status == http.StatusCreated, nil
	})
	w.worker(10)
	w.verify(patience, allowance{})
}

func TestHTTP_Keys(t *testing.T) {
	t.Parallel()
	const key = "e2e-key-0123456789abcdef"
	w := newWorld(t, worldOptions{})
	_, base := w.serve("ROOKERY_API_KEYS="+key, "ROOKERY_HTTP_ADDR=127.0.0.1:1") // the flag wins
	for _, header := range [][]string{nil, {"Authorization", "Bearer wrong-key-0123456789"}, {"Authorization", "Basic " + key}} {
		if status, _ := call(t, http.MethodPost, base+"/v1/jobs", job(`"payload": {}`), header...); status != http.StatusUnauthorized {
			t.Errorf("POST with %v = %d, want 401", header, status)
		}
	}
	w.post(base, job(`"payload": {}`), "Authorization", "Bearer "+key)
	if status, _ := call(t, http.MethodGet, base+"/livez", ""); status != http.StatusOK {
		t.Errorf("GET /livez without a key = %d, want 200", status)
	}
	open := w.rookery("serve --http 0.0.0.0:0")
	if code := open.wait(30 * time.Second); code == 0 || !strings.Contains(open.err.String(), "loopback") {
		t.Errorf("serve on all addresses without a key ended with %d and said %s", code, open.tail())
	}
}

// A client that waits in vain is answered with the job as it is; one whose job ends, then.
func TestHTTP_WaitsForAJob(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	_, base := w.serve()
	ids := w.insert(2, `{}`)
	client := http.Client{Timeout: time.Minute}
	asked := func(id int64, wait string) string {
		t.Helper()
		res, err := client.Get(base + "/v1/jobs/" + strconv.FormatInt(id, 10) + "?wait=" + wait) //nolint:noctx // the client's timeout ends it
		if err != nil {
			t.Error(err)
			return ""
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("wait=%s = %d %s, %v", wait, res.StatusCode, body, err)
		}
		return string(body)
	}
	if body := asked(ids[0], "2s"); strings.Contains(body, `"finished_at"`) {
		t.Errorf("without a worker the job = %s", body)
	}
	done := make(chan string, 1)
	go func() { done <- asked(ids[1], "40s") }()
	w.worker(2)
	if body := <-done; !strings.Contains(body, `"status":"completed"`) || !strings.Contains(body, `"event":"completed"`) {
		t.Errorf("the job = %s, want it completed", body)
	}
}
