package main

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/push"
)

// Each example takes what a push worker signs, does a job once though it comes twice,
// and refuses the rest; and each is at most 30 lines.
func TestReceivers_DoAsTheDocsSay(t *testing.T) {
	t.Parallel()
	devtest.Programs(t, "node", "python3")
	for name, tt := range map[string]struct {
		file    string
		command []string
	}{
		"Go":     {"main.go", []string{"go", "run", "."}},
		"Node":   {"receiver.mjs", []string{"node", "receiver.mjs"}},
		"Python": {"receiver.py", []string{"python3", "receiver.py"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(tt.file)
			if n := strings.Count(string(text), "\n"); err != nil || n > 30 {
				t.Errorf("%s has %d lines, %v, want at most 30", tt.file, n, err)
			}
			if docs, err := os.ReadFile("../../docs/push-workers.md"); err != nil || !bytes.Contains(docs, text) {
				t.Errorf("docs/push-workers.md has not %s as it is, %v", tt.file, err)
			}
			r := startReceiver(t, tt.command)
			body := []byte(`{"type": "welcome", "data": {"to": "<ä@b.c>"}}`)
			other := job.NewEndpointSecret()
			for _, c := range []struct {
				what    string
				secrets []string
				id      string
				at      time.Time
				change  func(*http.Request)
				good    bool
			}{
				{"a job", []string{r.secret}, "1", time.Now(), nil, true},
				{"the same again", []string{r.secret}, "1", time.Now(), nil, true},
				{"another job, while the secret is rotated", []string{other, r.secret}, "2", time.Now(), nil, true},
				{"another secret", []string{other}, "3", time.Now(), nil, false},
				{"an old request", []string{r.secret}, "3", time.Now().Add(-6 * time.Minute), nil, false},
				{"one from the future", []string{r.secret}, "3", time.Now().Add(6 * time.Minute), nil, false},
				{"another id", []string{r.secret}, "3", time.Now(), func(r *http.Request) { r.Header.Set(push.HeaderID, "4") }, false},
				{"no signature", []string{r.secret}, "3", time.Now(), func(r *http.Request) { r.Header.Del(push.HeaderSignature) }, false},
				{"no timestamp", []string{r.secret}, "3", time.Now(), func(r *http.Request) { r.Header.Del(push.HeaderTimestamp) }, false},
			} {
				if status := r.send(t, c.secrets, c.id, c.at, body, c.change); (status/100 == 2) != c.good {
					t.Errorf("%s is answered with %d, want it taken %t", c.what, status, c.good)
				}
			}
			if n := strings.Count(r.out.String(), "work "); n != 2 {
				t.Errorf("it has done %d jobs, want 2:\n%s", n, r.out.String())
			}
		})
	}
}

type running struct {
	url, secret string
	out         *output
}

// output is what a receiver prints. It is safe for concurrent use.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// freePort returns a port that is free and stays so until a receiver has it: whoever asks
// the kernel for any, as all other tests do, gets one above these.
func freePort(t *testing.T) (port string) {
	t.Helper()
	for range 100 {
		port = strconv.Itoa(20_000 + rand.IntN(10_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

func startReceiver(t *testing.T, command []string) running {
	t.Helper()
	if command[0] == "go" { // built first, so that what is killed is the receiver itself
		binary := filepath.Join(t.TempDir(), "receiver")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		command = []string{binary}
	}
	port := freePort(t)
	address := net.JoinHostPort("127.0.0.1", port)
	r := running{"http://" + address, job.NewEndpointSecret(), &output{}}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "WEBHOOK_SECRET="+r.secret, "PORT="+port)
	cmd.Stdout, cmd.Stderr = r.out, r.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("it printed:\n%s", r.out.String())
		}
	})
	devtest.Until(t, 2*time.Minute, "the receiver to listen", func() (bool, error) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil, nil
	})
	return r
}

func (r running) send(t *testing.T, secrets []string, id string, at time.Time, body []byte, change func(*http.Request)) int {
	t.Helper()
	signature, err := push.Sign(secrets, id, at, body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(push.HeaderID, id)
	req.Header.Set(push.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(push.HeaderSignature, signature)
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
