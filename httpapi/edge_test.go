package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penguinmails/rookery/job"
)

func TestRequestID(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{})
	for _, tt := range []struct {
		name  string
		given []string
		kept  bool
	}{
		{"none", nil, false},
		{"one character", []string{"a"}, true},
		{"64 characters", []string{strings.Repeat("aZ0._-xx", 8)}, true},
		{"65 characters", []string{strings.Repeat("a", 65)}, false},
		{"empty", []string{""}, false},
		{"space", []string{"a b"}, false},
		{"line", []string{"a\nb"}, false},
		{"markup", []string{"<b>"}, false},
		{"two", []string{"a", "a"}, false},
	} {
		r := newRequestTo(http.MethodGet, "/nowhere", "")
		r.Header["X-Request-Id"] = tt.given
		w := do(s, r)
		wantProblem(t, w, http.StatusNotFound, codeNotFound)
		got := w.Header().Get("X-Request-Id")
		if kept := len(tt.given) == 1 && got == tt.given[0]; kept != tt.kept || !validRequestID(got) {
			t.Errorf("%s: request id = %q, kept %t, want %t", tt.name, got, kept, tt.kept)
		}
	}
}

func TestRouter_Problems(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{})
	for _, target := range []string{"/", "/v1", "/v1/", "/v1/jobs/", "/v1/jobs/batch/", "/v2/jobs", "/v1/queues/a", "//v1/jobs", "/.git/config", "/v1/jobs/1/%2e%2e"} {
		if w := get(s, target); w.Code == http.StatusNotFound {
			wantProblem(t, w, http.StatusNotFound, codeNotFound)
		} else {
			wantProblem(t, w, http.StatusBadRequest, codeInvalidParameter)
		}
	}
	for _, tt := range []struct{ method, target, allow string }{
		{"GET", "/v1/jobs", "POST"},
		{"DELETE", "/v1/jobs/1", "GET"},
		{"PUT", "/v1/queues", "GET"},
		{"POST", "/livez", "GET"},
		{"BREW", "/v1/jobs", "POST"},
	} {
		w := do(s, newRequestTo(tt.method, tt.target, ""))
		wantProblem(t, w, http.StatusMethodNotAllowed, codeMethodNotAllowed)
		if got := w.Header().Get("Allow"); !strings.Contains(got, tt.allow) {
			t.Errorf("%s %s: Allow = %q, want %s in it", tt.method, tt.target, got, tt.allow)
		}
	}
	r := newRequestTo(http.MethodPost, "/v1/jobs/1", `{}`)
	r.Header.Set("X-Http-Method-Override", "GET")
	wantProblem(t, do(s, r), http.StatusMethodNotAllowed, codeMethodNotAllowed)
}

func TestBody(t *testing.T) {
	t.Parallel()
	const limit = 100
	s := newServer(t, &fakeJobs{}, Options{MaxBody: limit})
	for _, tt := range []struct {
		name, kind, encoding string
		size                 int
		status               int
		code                 string
	}{
		{"n-1", "application/json", "", limit - 1, 201, ""},
		{"n", "application/json", "", limit, 201, ""},
		{"n+1", "application/json", "", limit + 1, 413, codeBodyTooLarge},
		{"with charset", "Application/JSON; charset=UTF-8", "", 2, 201, ""},
		{"another charset", "application/json; charset=latin1", "", 2, 415, codeUnsupportedType},
		{"no type", "", "", 2, 415, codeUnsupportedType},
		{"form", "application/x-www-form-urlencoded", "", 2, 415, codeUnsupportedType},
		{"text", "text/plain", "", 2, 415, codeUnsupportedType},
		{"broken type", "application/json; charset", "", 2, 415, codeUnsupportedType},
		{"problem", "application/problem+json", "", 2, 415, codeUnsupportedType},
		{"compressed", "application/json", "gzip", 2, 415, codeUnsupportedType},
	} {
		for _, chunked := range []bool{false, true} {
			r := newRequestTo(http.MethodPost, "/v1/jobs", `{}`+strings.Repeat(" ", tt.size-2))
			r.Header.Set("Content-Type", tt.kind)
			if tt.encoding != "" {
				r.Header.Set("Content-Encoding", tt.encoding)
			}
			if chunked {
				r.ContentLength = -1
			}
			w := do(s, r)
			if tt.code != "" {
				wantProblem(t, w, tt.status, tt.code)
			} else if w.Code != tt.status {
				t.Errorf("%s: answer = %d %s, want %d", tt.name, w.Code, w.Body, tt.status)
			}
		}
	}
	for err, want := range map[error]string{io.ErrUnexpectedEOF: codeMissingBody, os.ErrDeadlineExceeded: codeRequestTimeout} {
		r := newRequestTo(http.MethodPost, "/v1/jobs", "")
		r.Body, r.ContentLength = io.NopCloser(brokenReader{err}), -1
		if w := do(s, r); !strings.Contains(w.Body.String(), want) || w.Code > 499 {
			t.Errorf("body that ends with %v = %d %s, want %s", err, w.Code, w.Body, want)
		}
	}
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

func TestPanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	jobs := &fakeJobs{before: func(context.Context) { panic("kaboom") }}
	s := newServer(t, jobs, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	w := post(s, "/v1/jobs", `{"payload":"hush"}`)
	p := wantProblem(t, w, http.StatusInternalServerError, codeInternal)
	if strings.Contains(w.Body.String(), "kaboom") {
		t.Errorf("answer tells of the panic: %s", w.Body)
	}
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("log %q: %v", &log, err)
	}
	if line["level"] != "ERROR" || line[logRequestID] != p.RequestID || line[logError] != "panic: kaboom" || !strings.Contains(line[logStack].(string), "edge_test.go") {
		t.Errorf("log = %v, want the panic with its stack and request id", line)
	}
}

// TestLog_OneFaultOneLine also looks for what must never be logged.
func TestLog_OneFaultOneLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		err   error
		body  string
		lines int // above debug
		level string
	}{
		{"fine", nil, `{"payload":"hush"}`, 0, ""},
		{"bad input", nil, `{"payload":"hush","kind":5}`, 0, ""},
		{"away", job.ErrUnavailable, `{"payload":"hush"}`, 1, "WARN"},
		{"refused by postgres", &job.DataError{SQLState: "22P02", Message: "hush"}, `{"payload":"hush"}`, 1, "WARN"},
		{"broken", errors.New("broken"), `{"payload":"hush"}`, 1, "ERROR"},
	} {
		for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
			var log bytes.Buffer
			s := newServer(t, &fakeJobs{err: tt.err}, Options{Keys: []string{keyA}, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))})
			r := newRequestTo(http.MethodPost, "/v1/jobs", tt.body)
			r.Header.Set("Authorization", "Bearer "+keyA)
			do(s, r)
			if strings.Contains(log.String(), "hush") || strings.Contains(log.String(), keyA) {
				t.Errorf("%s: the log has a payload or a key: %s", tt.name, &log)
			}
			if got := strings.Count(log.String(), "\n"); level == slog.LevelInfo && got != tt.lines {
				t.Errorf("%s: %d lines, want %d: %s", tt.name, got, tt.lines, &log)
			}
			if !strings.Contains(log.String(), tt.level) {
				t.Errorf("%s: log = %s, want level %s", tt.name, &log, tt.level)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{})
	for _, target := range []string{"/v1/queues", "/nowhere", "/livez", "/metrics"} {
		h := get(s, target).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s = %q, want %q", target, name, got, want)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := newServer(t, &fakeJobs{}, Options{Registry: registry})
	post(s, "/v1/jobs", `{}`)
	post(s, "/v1/jobs", `[]`)
	get(s, "/v1/jobs/1")
	get(s, "/v1/jobs/2?x=1")
	get(s, "/nowhere/1")
	do(s, newRequestTo("BREW", "/nowhere/2", ""))
	want := `
# HELP rookery_http_inserted_jobs_total Jobs inserted over HTTP, by the lane they took.
# TYPE rookery_http_inserted_jobs_total counter
rookery_http_inserted_jobs_total{lane="ordinary"} 1
# HELP rookery_http_requests_total Answered HTTP requests. Status 499: the client hung up first.
# TYPE rookery_http_requests_total counter
rookery_http_requests_total{method="GET",route="/v1/jobs/:id",status="400"} 1
rookery_http_requests_total{method="GET",route="/v1/jobs/:id",status="404"} 1
rookery_http_requests_total{method="GET",route="none",status="404"} 1
rookery_http_requests_total{method="POST",route="/v1/jobs",status="201"} 1
rookery_http_requests_total{method="POST",route="/v1/jobs",status="422"} 1
rookery_http_requests_total{method="other",route="none",status="404"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "rookery_http_requests_total", "rookery_http_inserted_jobs_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint = %v, %v", problems, err)
	}
	w := get(s, "/metrics")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "rookery_http_request_seconds_bucket{method=\"POST\",route=\"/v1/jobs\"") {
		t.Errorf("/metrics = %d %.200s", w.Code, w.Body)
	}
	if _, err := New(&fakeJobs{}, Options{Registry: registry}); err == nil {
		t.Error("a second server on the same registry = nil, want an error")
	}
}

// TestDoc_ListsEveryCode holds the contract: a code that doc.go does not know, or
// one that only doc.go knows, fails.
func TestDoc_ListsEveryCode(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("problem.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`(?m)^\t(?:code|fault)\w+ += "(\w+)"`).FindAllSubmatch(source, -1)
	if len(codes) < 30 {
		t.Fatalf("found %d codes in problem.go, want all", len(codes))
	}
	for _, c := range codes {
		if !regexp.MustCompile(`//.*\b` + string(c[1]) + `\b`).Match(doc) {
			t.Errorf("doc.go does not know %s", c[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^//\t\d{3} (\w+)`).FindAllSubmatch(doc, -1) {
		if !bytes.Contains(source, []byte(`"`+string(m[1])+`"`)) {
			t.Errorf("problem.go does not know %s", m[1])
		}
	}
}
