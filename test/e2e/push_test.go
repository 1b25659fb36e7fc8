package e2e

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// hook is a receiver: what it has got, and what it answers to each request.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	got  []*http.Request
	body []string
}

// newHook starts a receiver whose requests are answered by h once they are noted.
func newHook(t *testing.T, h http.HandlerFunc) *hook {
	t.Helper()
	k := &hook{}
	k.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		k.mu.Lock()
		k.got, k.body = append(k.got, r), append(k.body, string(body))
		k.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(func() {
		k.CloseClientConnections()
		k.Close()
	})
	return k
}

func (k *hook) ids() (ids []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.got {
		ids = append(ids, r.Header.Get("Webhook-Id"))
	}
	return ids
}

// pushing is the environment of a push worker that may reach k on this machine.
func (w *world) pushing(k *hook) []string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, certificateOf(k.Server), 0o600); err != nil {
		w.t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(k.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	return []string{"SSL_CERT_FILE=" + file, "ROOKERY_PUSH_ALLOW_PORTS=" + port, "ROOKERY_PUSH_ALLOW_NETWORKS=127.0.0.0/8"}
}

// webhooks runs rookery webhooks with the environment of a push worker.
func (w *world) webhooks(env []string, args ...string) string {
	w.t.Helper()
	p := w.start("rookery webhooks", w.env("jobs", env...), append([]string{program("rookery"), "webhooks"}, args...)...)
	if code := p.wait(30 * time.Second); code != 0 {
		w.t.Fatalf("rookery webhooks %s exits with %d: %s", strings.Join(args, " "), code, p.err.String())
	}
	return strings.TrimSpace(p.out.String())
}

// A job comes to a URL, signed; another secret and another receiver count without a
// restart; the same by serve --push.
func TestPush_Delivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	k := newHook(t, func(http.ResponseWriter, *http.Request) {})
	env := w.pushing(k)
	w.relay()
	p := w.rookery("push --http 127.0.0.1:0", env...)
	ids := w.insert(3, `{"to": "a@b.c"}`)
	secret := w.webhooks(env, "set", queue, "--url", k.URL+"/hook?token=canary")
	w.untilStatus(patience, "completed", ids)
	verified := func(from int, secrets ...string) {
		t.Helper()
		k.mu.Lock()
		defer k.mu.Unlock()
		for i := from; i < len(k.got); i++ {
			for _, secret := range secrets {
				wh, err := standardwebhooks.NewWebhook(secret)
				if err != nil {
					t.Fatal(err)
				}
				if err := wh.Verify([]byte(k.body[i]), k.got[i].Header); err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			}
		}
	}
	if got := k.ids(); len(got) != 3 {
		t.Errorf("the receiver got %v, want each of %v once", got, ids)
	}
	verified(0, secret)
	for metric, label := range map[string]string{"rookery_push_requests_total": `code_class="2xx"`, "rookery_worker_attempts_total": `outcome="completed"`} {
		devtest.Until(t, patience, metric+" to be 3", func() (bool, error) { return p.metric(metric, label) == 3, nil })
	}
	if out := w.webhooks(env, "test", queue); !strings.HasPrefix(out, "delivered: 200") {
		t.Errorf("webhooks test prints %q", out)
	}

	fresh := w.webhooks(env, "rotate", queue)
	if fresh == secret || !strings.HasPrefix(fresh, "whsec_") {
		t.Fatalf("webhooks rotate prints %q", fresh)
	}
	devtest.Until(t, patience, "both secrets to sign", func() (bool, error) {
		from := len(k.ids())
		w.untilStatus(patience, "completed", w.insert(1, `{}`))
		k.mu.Lock()
		both := len(strings.Fields(k.got[len(k.got)-1].Header.Get("Webhook-Signature"))) == 2
		k.mu.Unlock()
		if both {
			verified(from, secret, fresh)
		}
		return both, nil
	})
	if all := p.err.String(); strings.Contains(all, "whsec_") || strings.Contains(all, "canary") || strings.Contains(all, "a@b.c") {
		t.Errorf("the push worker logs a secret, a URL's query, or a payload:\n%s", all)
	}
	p.terminate(60 * time.Second)

	serve, _ := w.serve(append(env, "ROOKERY_PUSH=true", "DATABASE_URL="+w.as("rookery_relay", "rookery_worker", "rookery_api"))...)
	w.untilStatus(patience, "completed", w.insert(1, `{}`))
	serve.terminate(60 * time.Second)
	w.rest(30 * time.Second)
}

// A push worker is killed while the receiver works: the job comes again, under the same
// webhook-id, by which the receiver knows it.
func TestPush_KilledWhileTheReceiverWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	var once sync.Once
	arrived := make(chan struct{})
	k := newHook(t, func(_ http.ResponseWriter, r *http.Request) {
		first := false
		once.Do(func() { first = true })
		if first {
			close(arrived)
			<-r.Context().Done()
		}
	})
	env := w.pushing(k)
	w.relay()
	w.webhooks(env, "set", queue, "--url", k.URL)
	p := w.rookery("push", env...)
	ids := w.insert(1, `{"a": 1}`)
	select {
	case <-arrived:
	case <-time.After(30 * time.Second):
		t.Fatal("the job does not arrive")
	}
	p.kill()
	w.rookery("push", env...)
	w.untilStatus(patience, "completed", ids)
	got := k.ids()
	if len(got) != 2 || got[0] != fmt.Sprint(ids[0]) || got[1] != got[0] {
		t.Errorf("webhook-ids = %v, want that of job %d twice", got, ids[0])
	}
	k.mu.Lock()
	if a, b := k.got[0].Header.Get("Rookery-Attempt"), k.got[1].Header.Get("Rookery-Attempt"); a != "1" || b != "2" {
		t.Errorf("Rookery-Attempt = %s, %s, want 1 and 2", a, b)
	}
	k.mu.Unlock()
	w.rest(30 * time.Second)
}

// A receiver that hangs fails its jobs in time and holds up no other queue; one that is
// gone has its queue paused, until the endpoint is set again.
func TestPush_ReceiversThatHangOrAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	gone := true
	var mu sync.Mutex
	k := newHook(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
		case "/gone":
			mu.Lock()
			defer mu.Unlock()
			if gone {
				rw.WriteHeader(http.StatusGone)
			}
		}
	})
	env := w.pushing(k)
	w.relay()
	w.webhooks(env, "set", "hanging", "--url", k.URL+"/hang", "--timeout", "1s")
	w.webhooks(env, "set", "leaving", "--url", k.URL+"/gone", "--max-in-flight", "1")
	w.webhooks(env, "set", queue, "--url", k.URL+"/fine")
	w.rookery("push", env...)
	insert := func(queue string, n int) []int64 {
		return w.ids(`INSERT INTO outbox.jobs (queue_name, max_attempts) SELECT $1, 1 FROM generate_series(1, $2) RETURNING id`, queue, n)
	}
	hanging, leaving := insert("hanging", 12), insert("leaving", 5)
	w.untilStatus(patience, "completed", w.insert(20, `{}`))
	w.untilStatus(patience, "dead", hanging)
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE id = ANY ($1) AND last_error = 'no answer within 1s'`, hanging); n != 12 {
		t.Errorf("%d of 12 jobs say that there was no answer", n)
	}
	w.until(patience, "the queue to be paused", `SELECT paused FROM outbox.queues WHERE name = 'leaving'`)
	if out := w.webhooks(env, "list"); !strings.Contains(out, "receiver answered 410 Gone") {
		t.Errorf("webhooks list prints\n%s\nwant why it is disabled", out)
	}
	w.until(patience, "the jobs to wait", `SELECT count(*) = 5 FROM outbox.jobs WHERE id = ANY ($1) AND status IN ('queued', 'dispatched') AND failure_count = 0`, leaving)
	mu.Lock()
	gone = false
	mu.Unlock()
	w.webhooks(env, "set", "leaving", "--url", k.URL+"/gone")
	w.untilStatus(patience, "completed", leaving)
}

func certificateOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// What people do with endpoints at the command line, and what it refuses.
func TestPush_CommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	for _, c := range []struct {
		args, says string
		code       int
	}{
		{"set a!b --url https://a.example", "queue_name", 2},
		{"set mail --url ftp://a.example", "--url must begin with https://", 2},
		{"set mail --url http://a.example", "--url must begin with https://", 2},
		{"set mail --url https://169.254.169.254/latest", "--url leads to an address that is not public", 2},
		{"set mail --url https://a.example:22", "--url has a port", 2},
		{"set mail --url https://a.example --max-in-flight 0.5", "max-in-flight", 2},
		{"set mail --url https://a.example --max-in-flight -1", "--max-in-flight is -1, must be 1 to 1000", 2},
		{"set mail --url https://a.example --timeout 11m", "--timeout in ms is 660000, must be 1000 to 600000", 2},
		{"set mail --url https://a.example --push-allow-network 10.0.0.1", "--push-allow-network", 2},
		{"test mail", "has no endpoint", 3},
		{"rotate mail", "has no endpoint", 3},
		{"delete mail", "has no endpoint", 3},
		{"set mail --url http://a.example:3000 --push-allow-http --push-allow-port 3000", "shown", 0},
		{"set mail --url https://10.1.2.3 --push-allow-network 10.1.0.0/16 -o json", "", 0},
		{"rotate mail --keep-old 169h", "--keep-old in seconds is", 2},
		{"test mail", "not delivered: blocked: the URL leads to an address that is not public", 1},
		{"delete mail", "", 0},
		{"delete mail", "has no endpoint", 3},
		{"sign --id 1", "--secret-file and --id are needed", 2},
	} {
		code, _, stderr := w.cli(append([]string{"webhooks"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("webhooks %s ends with %d: %swant %d: %s", c.args, code, stderr, c.code, c.says)
		}
	}
}
