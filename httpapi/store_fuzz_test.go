package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/outbox"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// FuzzStore holds the package's invariant against the real Postgres: what the door
// lets in is stored, at exactly the length the door has counted.
func FuzzStore(f *testing.F) {
	conn, err := pgx.Connect(f.Context(), devtest.Postgres(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close(context.Background()) })
	f.Add([]byte(`{"payload":{"a":[1,-2.5e-7,"\ud83d\ude00",null,true],"\u001f\"":1e3}}`))
	f.Add([]byte(`{"payload":[-0,0.0e5,1E-3,123e-2,0.10,1e15],"headers":{"a":"\/\b\f\n\r\t\u000b\u007f\u2028"},"priority":0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		jobs := &fakeJobs{}
		if w := post(newServer(t, jobs, Options{}), "/v1/jobs", string(body)); w.Code != http.StatusCreated {
			return
		}
		counted := 0
		for _, raw := range []json.RawMessage{jobs.specs[0].Payload, jobs.specs[0].Headers} {
			if len(raw) > 0 {
				d, p := newDocument(raw)
				if p != nil {
					t.Fatal(p)
				}
				d.value(1)
				counted += d.printed
			}
		}
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		ids, err := outbox.InsertSpecs(t.Context(), tx, jobs.specs)
		if err != nil {
			t.Fatalf("let in %s, which Postgres refuses: %v", body, err)
		}
		size := 0
		if err := tx.QueryRow(t.Context(), "SELECT outbox.size_of(payload, headers) FROM outbox.jobs WHERE id = $1", ids[0]).Scan(&size); err != nil {
			t.Fatal(err)
		}
		if size != counted {
			t.Fatalf("counted %d bytes of %s, Postgres prints %d", counted, body, size)
		}
	})
}

// FuzzRequest sends whole requests, head and all: none is answered with a 5xx, with
// half a problem, or, without the key, with anything but a refusal.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET /v1/jobs/1?include=payload HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/jobs/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\nTraceparent: x\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"HEAD /metrics HTTP/1.1\r\nHost: [::1]:80\r\nAuthorization: Bearer x\r\nX-Request-Id: a\r\nOrigin: http://evil\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, keys := range [][]string{nil, {keyA}} {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				return // net/http answers these by itself
			}
			jobs := &fakeJobs{}
			w := httptest.NewRecorder()
			newServer(t, jobs, Options{Keys: keys}).Handler().ServeHTTP(w, r)
			id := w.Header().Get("X-Request-Id")
			if w.Code >= 500 || !validRequestID(id) || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Fatalf("answer to %q = %d, request id %q: %s", raw, w.Code, id, w.Body)
			}
			if w.Code >= 400 && r.Method != http.MethodHead {
				var p problem
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
					t.Fatal(err)
				}
				wantProblem(t, w, w.Code, p.Code)
			}
			open := r.URL.Path == routeLive || r.URL.Path == routeReady
			if keys != nil && w.Code != http.StatusUnauthorized && !open && !strings.Contains(string(raw), keyA) {
				t.Fatalf("answer to %q without the key = %d", raw, w.Code)
			}
			if (w.Code == http.StatusCreated) != (len(jobs.specs) > 0) {
				t.Fatalf("answer to %q = %d with %d jobs inserted", raw, w.Code, len(jobs.specs))
			}
		}
	})
}
