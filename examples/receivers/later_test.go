package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// The example that calls back answers 202, asks for time, and says what became of the
// job, again after an answer that leaves it open; a request that is not signed, callback
// and all, is refused.
func TestLater_CallsBack(t *testing.T) {
	t.Parallel()
	devtest.Programs(t, "python3")
	text, err := os.ReadFile("later.py")
	if n := strings.Count(string(text), "\n"); err != nil || n > 65 {
		t.Errorf("later.py has %d lines, %v, want at most 65", n, err)
	}
	if docs, err := os.ReadFile("../../docs/push-workers.md"); err != nil || !bytes.Contains(docs, text) {
		t.Errorf("docs/push-workers.md has not later.py as it is, %v", err)
	}
	said := make(chan string, 100)
	first := true
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		said <- fmt.Sprint(r.URL.Path, " ", r.Header.Get("Authorization"), " ", string(body))
		if strings.HasSuffix(r.URL.Path, "/complete") && first { // one request at a time
			first = false
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(api.Close)
	r := startReceiver(t, []string{"python3", "later.py"})
	ask := func(data, secret string) int {
		t.Helper()
		body, err := json.Marshal(map[string]any{"type": "k", "data": json.RawMessage(data), "callback": map[string]string{"url": api.URL + "/v1/callback", "token": "tok"}})
		if err != nil {
			t.Fatal(err)
		}
		return r.send(t, []string{secret}, "1", time.Now(), body, nil)
	}
	want := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			select {
			case got := <-said:
				if !strings.HasPrefix(got, text) {
					t.Errorf("it says %q, want %q", got, text)
				}
			case <-time.After(2 * time.Minute):
				t.Fatalf("it does not say %q", text)
			}
		}
	}
	if got := ask(`{}`, r.secret); got != http.StatusAccepted {
		t.Errorf("a job is answered with %d, want 202", got)
	}
	const at = "/v1/callback/"
	want(at+`extend Bearer tok {"lease": "5m"}`, at+"complete Bearer tok {}", at+"complete Bearer tok {}")
	ask(`[]`, r.secret)
	want(at+"extend", at+`fail Bearer tok {"error": {"type": "ValueError", "message": "data must be an object"}}`)
	if got := ask(`{}`, strings.Replace(r.secret, "whsec_", "whsec_AAAA", 1)); got != http.StatusUnauthorized {
		t.Errorf("a job that is not signed is answered with %d, want 401", got)
	}
	if got := r.send(t, []string{r.secret}, "1", time.Now(), []byte(`{"type":"rookery.test","data":{}}`), nil); got != http.StatusNoContent {
		t.Errorf("a test is answered with %d, want 204", got)
	}
}
