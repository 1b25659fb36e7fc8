package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/penguinmails/rookery/job"
)

// TestHostile_OneClearError: input made to break something is answered with one
// short error that says what was wrong, and inserts nothing. What breaks a single
// limit is in decode_test.go.
func TestHostile_OneClearError(t *testing.T) {
	t.Parallel()
	million := 1_000_000
	for _, tt := range []struct {
		name, target, body string
		status             int
		want               string // in the first error's detail, or the problem's
	}{
		{"10^6 arrays", "/v1/jobs", `{"payload":` + nested(million) + `}`, 400, "depth"},
		{"10^6 objects", "/v1/jobs", `{"payload":` + strings.Repeat(`{"":`, million) + `1` + strings.Repeat(`}`, million) + `}`, 413, "4194304 bytes"},
		{"10^6 arrays, open", "/v1/jobs", strings.Repeat(`[`, million), 400, "depth"},
		{"10^5 names, each twice", "/v1/jobs", `{"payload":{` + names(50_000) + `,` + names(50_000) + `}}`, 422, "payload is there twice"},
		{"10^5 different names", "/v1/jobs", `{"payload":{` + names(100_000) + `}}`, 422, "must have at most 262144"},
		{"10^5 fields", "/v1/jobs", `{` + names(100_000) + `}`, 422, "is not a field of a job"},
		{"10^5 NULs", "/v1/jobs", `{"payload":"` + strings.Repeat(`\u0000`, 100_000) + `"}`, 422, `payload has the character \u0000`},
		{"10^5 halves of pairs", "/v1/jobs", `{"payload":"` + strings.Repeat(`\ud800`, 100_000) + `"}`, 422, "payload has half of a surrogate pair"},
		{"1e100000 a thousand times", "/v1/jobs", `{"payload":[` + list(`1e100000`, 1000) + `]}`, 422, "must have at most 262144"},
		{"a number of 10^6 digits", "/v1/jobs", `{"payload":` + strings.Repeat("9", million) + `}`, 422, "131072 and 16383"},
		{"a priority of 10^6 digits", "/v1/jobs", `{"priority":` + strings.Repeat("9", million) + `}`, 422, "131072 and 16383"},
		{"an exponent of 10^6 digits", "/v1/jobs", `{"payload":1e` + strings.Repeat("0", million) + `9}`, 422, "at most 262144"},
		{"a kind of 10^6 characters", "/v1/jobs", `{"kind":"` + strings.Repeat("k", million) + `"}`, 422, "must have at most 200"},
		{"a name of 10^6 characters", "/v1/jobs", `{"` + strings.Repeat("k", million) + `":1}`, 422, "is not a field of a job"},
		{"10^5 jobs", "/v1/jobs/batch", `{"jobs":[` + list(`{}`, 100_000) + `]}`, 422, "has 100000 jobs, must have 1 to 1000"},
		{"10^5 jobs, all wrong", "/v1/jobs/batch", `{"jobs":[` + list(`{"x":1}`, 100_000) + `]}`, 422, "x is not a field of a job"},
		{"10^5 queries", "/v1/jobs?" + strings.Repeat("a=1&", 8_000), `{}`, 400, "is not a parameter"},
		{"a query that cannot be read", "/v1/jobs?%zz", `{}`, 400, "the query cannot be read"},
		{"a query with semicolons", "/v1/jobs?a;b", `{}`, 400, "the query cannot be read"},
		{"an encoded slash", "/v1%2fjobs", `{}`, 404, "no such route"},
		{"a path upwards", "/v1/../v1/jobs/..", `{}`, 404, "no such route"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			w := post(newServer(t, jobs, Options{}), tt.target, tt.body)
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("answer %.200q: %v", w.Body, err)
			}
			wantProblem(t, w, tt.status, p.Code)
			detail := p.Detail
			if len(p.Errors) > 0 {
				detail = p.Errors[0].Detail
			}
			if !strings.Contains(detail, tt.want) || len(p.Detail) > 1000 || w.Body.Len() > 200_000 {
				t.Errorf("answer of %d bytes = %.300q, want one short error with %q", w.Body.Len(), detail, tt.want)
			}
			if len(jobs.specs) > 0 {
				t.Errorf("%d jobs were inserted", len(jobs.specs))
			}
		})
	}
}

func list(value string, n int) string { return strings.TrimSuffix(strings.Repeat(value+",", n), ",") }

// names returns n members of an object with different names.
func names(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"n%d":0`, i)
	}
	return strings.Join(all, ",")
}

// injections are names made to end a string, a line, a key or a command in whatever
// they are pasted into.
var injections = []string{
	"'; DROP TABLE outbox.jobs; --", `"; redis.call('FLUSHALL') --`, "q}:meta", "{q}:leases", "q\r\nFLUSHALL\r\n", "$1", "%s%n", "../../etc/passwd",
	"<script>alert(1)</script>", "\x1b[2J\x1b]0;title\x07", "a\nlevel=ERROR msg=forged", "a\u2028b", "\u202egnp.exe", "${jndi:ldap://x}", "a\x00b", "q\u0085b",
}

// TestHostile_Names: such a name is no queue, and as a kind or a header it is text
// like any other, inserted as it came or refused as text that Postgres cannot hold.
func TestHostile_Names(t *testing.T) {
	t.Parallel()
	for _, name := range injections {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		jobs := &fakeJobs{}
		s := newServer(t, jobs, Options{})
		w := post(s, "/v1/jobs", `{"queue_name":`+string(quoted)+`}`)
		if p := wantProblem(t, w, http.StatusUnprocessableEntity, codeInvalidJob); p.Errors[0].Field != "queue_name" {
			t.Errorf("queue_name %q: %s, want the field named", name, w.Body)
		}
		if strings.ContainsFunc(w.Body.String(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
			t.Errorf("queue_name %q: the answer %q has a control character", name, w.Body)
		}
		w = post(s, "/v1/jobs", `{"kind":`+string(quoted)+`,"headers":{`+string(quoted)+`:`+string(quoted)+`}}`)
		if strings.Contains(name, "\x00") {
			wantProblem(t, w, http.StatusUnprocessableEntity, codeInvalidJob)
			continue
		}
		if w.Code != http.StatusCreated || jobs.specs[0].Kind != name {
			t.Errorf("kind %q = %d %s, want it inserted as it is", name, w.Code, w.Body)
		}
	}
	if w := get(newServer(t, &fakeJobs{rows: map[int64]job.Job{1: {ID: 1, Status: job.Dead, LastError: "<script>alert(1)</script>"}}}, Options{}), "/v1/jobs/1"); !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") ||
		w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("an error text with markup is sent with the headers %v, want what no browser runs", w.Header())
	}
}

// TestHostile_LogLines: whatever a request says, it is one line of the log, without
// what a terminal would obey, and no metric takes its words as a label.
func TestHostile_LogLines(t *testing.T) {
	t.Parallel()
	for _, jsonFormat := range []bool{false, true} {
		var log bytes.Buffer
		o := &slog.HandlerOptions{Level: slog.LevelDebug}
		var h slog.Handler = slog.NewTextHandler(&log, o)
		if jsonFormat {
			h = slog.NewJSONHandler(&log, o)
		}
		s := newServer(t, &fakeJobs{before: func(context.Context) { panic("a\nlevel=ERROR msg=forged \x1b[2J") }}, Options{Logger: slog.New(h)})
		lines := 0
		for _, name := range injections {
			r := newRequestTo(http.MethodPost, "/v1/jobs", `{}`)
			r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "BREW"+name, "/"+name, "", name
			for _, header := range []string{"X-Request-Id", "User-Agent", "X-Forwarded-For", "Traceparent", "Referer"} {
				r.Header[header] = []string{name}
			}
			do(s, r)
			post(s, "/v1/jobs", `{}`) // panics
			lines += 3
		}
		if got := strings.Count(log.String(), "\n"); got != lines {
			t.Errorf("json %t: %d lines, want %d", jsonFormat, got, lines)
		}
		if strings.ContainsAny(log.String(), "\x1b\x00\x07\r\u0085") || strings.Contains(log.String(), "DROP TABLE") {
			t.Errorf("json %t: the log has what a client said: %q", jsonFormat, log.String())
		}
		if text := get(s, "/metrics").Body.String(); strings.Contains(text, "BREW") || strings.Contains(text, "DROP") {
			t.Errorf("the metrics have what a client said")
		}
	}
}

// TestServer_HostileOnTheWire sends what the parser of net/http has to see through:
// one connection, one answer.
func TestServer_HostileOnTheWire(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, Options{Addr: "127.0.0.1:0", MaxBody: 1000})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	const post = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
	const chunked = post + "Transfer-Encoding: chunked\r\n"
	for _, tt := range []struct{ name, send, want string }{
		{"a chunk of 2^64 bytes", chunked + "\r\nffffffffffffffff\r\n{}" + strings.Repeat(" ", 300<<10), "HTTP/1.1 413"},
		{"a chunk of 2^63 bytes", chunked + "\r\n7fffffffffffffff\r\n{}" + strings.Repeat(" ", 300<<10), "HTTP/1.1 413"},
		{"a chunk length of 100 digits", chunked + "\r\n" + strings.Repeat("0", 99) + "2\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 400"},
		{"a negative chunk", chunked + "\r\n-2\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 400"},
		{"a chunk shorter than said", chunked + "\r\n5\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 400"},
		{"tiny chunks with large extensions", chunked + "\r\n" + strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\n \r\n", 500) + "0\r\n\r\n", "HTTP/1.1 4"},
		{"a trailer of 64 KB", chunked + "\r\n2\r\n{}\r\n0\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "HTTP/1.1 4"},
		{"a length that is no number", post + "Content-Length: 0x10\r\n\r\n", "HTTP/1.1 400"},
		{"a negative length", post + "Content-Length: -1\r\n\r\n", "HTTP/1.1 400"},
		{"a length of 1 GiB, asking first", post + "Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n", "HTTP/1.1 413"},
		{"an expectation nobody knows", post + "Expect: miracles\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 417"},
		{"another encoding", post + "Transfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501"},
		{"chunked twice", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 501"},
		{"a folded header", post + "X-A: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 "},
		{"NUL in a header", post + "X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400"},
		{"space before the colon", post + "X-A : a\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400"},
		{"two hosts", post + "Host: evil.example\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400"},
		{"no host", "GET /v1/queues HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
		{"a URL of 64 KB", "GET /v1/queues?a=" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 431"},
		{"a thousand headers", post + strings.Repeat("X-A: a\r\n", 10_000) + "\r\n", "HTTP/1.1 431"},
		{"HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 "},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\r\n\r\n", "HTTP/1.1 400"},
		{"another host as the target", "GET http://evil.example/v1/queues HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 403"},
		{"a tunnel", "CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\nConnection: close\r\n\r\n", "HTTP/1.1 403"},
	} {
		got, err := exchange(t.Context(), s.Addr(), tt.send)
		if err != nil || !strings.HasPrefix(got, tt.want) || strings.Count(got, "HTTP/1.") > 1 || strings.HasPrefix(got, "HTTP/1.1 500") {
			t.Errorf("%s = %.120q, %v, want one answer %s", tt.name, got, err, tt.want)
		}
	}
	// A request hidden in the body of another is not looked at: with both lengths given
	// the connection ends after the first.
	before := len(jobs.specs)
	hidden := chunked + "Content-Length: 7\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + post + "Content-Length: 2\r\n\r\n{}"
	got, err := exchange(t.Context(), s.Addr(), hidden)
	if n := len(jobs.specs) - before; err != nil || strings.Count(got, "HTTP/1.1 ") != 1 || n > 1 {
		t.Errorf("a hidden request = %q, %v, with %d jobs inserted, want one answer", got, err, n)
	}
	if got, err := exchange(t.Context(), s.Addr(), post+"Content-Length: 2\r\n\r\n{}"); err != nil || !strings.HasPrefix(got, "HTTP/1.1 201") {
		t.Errorf("afterwards = %.80q, %v, want 201", got, err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// TestKeys_ComparedInConstantTime reads the source, because on a shared machine a
// clock proves nothing: keys meet only as hashes, in subtle.ConstantTimeCompare, and
// the loop over them neither ends early nor compares by other means.
func TestKeys_ComparedInConstantTime(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "auth.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	loops := 0
	ast.Inspect(file, func(n ast.Node) bool {
		loop, ok := n.(*ast.RangeStmt)
		if !ok {
			return true
		}
		over, ok := loop.X.(*ast.SelectorExpr)
		if !ok || over.Sel.Name != "keys" {
			return true
		}
		loops++
		compares := false
		ast.Inspect(loop.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ReturnStmt, *ast.BranchStmt, *ast.IfStmt, *ast.BinaryExpr:
				t.Errorf("the loop over the keys has a %T: it may end early or compare by other means", n)
			case *ast.CallExpr:
				f, ok := n.Fun.(*ast.SelectorExpr)
				compares = compares || ok && f.Sel.Name == "ConstantTimeCompare"
			}
			return true
		})
		if !compares {
			t.Error("the loop over the keys does not call subtle.ConstantTimeCompare")
		}
		return true
	})
	if loops != 1 {
		t.Errorf("found %d loops over the keys in auth.go, want 1", loops)
	}
}
