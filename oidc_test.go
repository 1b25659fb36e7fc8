package rookery_test

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/internal/oidc/oidctest"
)

// issuer is an OIDC provider on this machine; the function signs claims.
func issuer(t *testing.T) (url string, sign func(map[string]any) string) {
	t.Helper()
	i, err := oidctest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i.URL, func(claims map[string]any) string {
		t.Helper()
		text, err := i.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// broken changes the first character of a token's signature: what is put in its place is
// now and then what was there.
func broken(token string) string {
	text := []byte(token)
	at := strings.LastIndexByte(token, '.') + 1
	if text[at] == 'A' {
		text[at] = 'B'
	} else {
		text[at] = 'A'
	}
	return string(text)
}

// A token does what its claims allow, in its queues, and its subject stands in the audit;
// keys go on beside it, and nobody comes in without either.
func TestOIDC_OnTheWholeWay(t *testing.T) {
	t.Parallel()
	const key = "a-key-of-the-tests-0001"
	from, sign := issuer(t)
	url := devtest.Postgres(t)
	svc, err := rookery.Open(t.Context(), rookery.Config{
		DatabaseURL: url, RedisURL: devtest.Redis(t), HTTPAddr: "0.0.0.0:0", APIKeys: []string{key}, Logger: slog.New(slog.DiscardHandler),
		OIDC: rookery.OIDC{Issuer: from, Audience: "rookery", QueuesClaim: "queues"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	api, err := svc.API(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(bearer, method, target, body string) (int, string) {
		r := httptest.NewRequest(method, "http://localhost"+target, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	grace := sign(map[string]any{"sub": "grace", "scope": "jobs:write jobs:read queues:admin", "queues": "mail.*"})
	admin := sign(map[string]any{"sub": "ada", "scope": "admin", "queues": []string{"*"}})
	stale := sign(map[string]any{"sub": "grace", "scope": "admin", "queues": "*", "exp": time.Now().Add(-time.Hour).Unix()})
	for _, tt := range []struct {
		what, bearer, method, target, body string
		status                             int
		says                               string
	}{
		{"nobody", "", "GET", "/v1/queues", "", 401, "send a key"},
		{"a key", key, "GET", "/v1/queues", "", 200, ""},
		{"a job", grace, "POST", "/v1/jobs", `{"queue_name":"mail.a"}`, 201, ""},
		{"another's queue", grace, "POST", "/v1/jobs", `{"queue_name":"bills"}`, 403, "not for the queue"},
		{"its queue", grace, "POST", "/v1/queues/mail.a/pause", "", 200, ""},
		{"the audit", grace, "GET", "/v1/audit", "", 403, "admin"},
		{"the audit, for an admin", admin, "GET", "/v1/audit", "", 200, `"principal":"oidc:grace"`},
		{"the workers", admin, "GET", "/v1/workers", "", 200, ""},
		{"no queues", sign(map[string]any{"sub": "grace", "scope": "jobs:read"}), "GET", "/v1/queues", "", 401, "queues"},
		{"expired", stale, "GET", "/v1/queues", "", 401, "has expired"},
		{"broken", broken(grace), "GET", "/v1/queues", "", 401, "not signed"},
		{"no token", "a.b.c", "GET", "/v1/queues", "", 401, "no JSON Web Token"},
	} {
		status, body := ask(tt.bearer, tt.method, tt.target, tt.body)
		if status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %s %s = %d %s, want %d and %q", tt.what, tt.method, tt.target, status, body, tt.status, tt.says)
		}
		if len(tt.bearer) > 50 && strings.Contains(body, tt.bearer[len(tt.bearer)-40:]) {
			t.Errorf("%s: the answer repeats the token", tt.what)
		}
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var who string
	if err := conn.QueryRow(t.Context(), `SELECT string_agg(principal || ' ' || action, ',') FROM outbox.audit`).Scan(&who); err != nil || who != "oidc:grace queue.pause" {
		t.Errorf("the audit has %q, %v, want oidc:grace queue.pause", who, err)
	}
}

func TestLoadConfig_OIDC(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		issuer, audience, queues string
		names                    string // the variable that the error names; "": it is good
	}{
		{"", "", "", ""},
		{"https://id.example.com", "rookery", "queues", ""},
		{"https://id.example.com", "", "", "ROOKERY_OIDC_AUDIENCE"},
		{"", "rookery", "", "ROOKERY_OIDC_ISSUER"},
		{"", "", "queues", "ROOKERY_OIDC_ISSUER"},
	} {
		got, err := rookery.LoadConfig("", func(name string) string {
			return map[string]string{"ROOKERY_OIDC_ISSUER": tt.issuer, "ROOKERY_OIDC_AUDIENCE": tt.audience, "ROOKERY_OIDC_QUEUES_CLAIM": tt.queues}[name]
		})
		if (err == nil) != (tt.names == "") || err != nil && !strings.Contains(err.Error(), tt.names) {
			t.Errorf("LoadConfig(%+v) = %v, want an error that names %q", tt, err, tt.names)
		}
		if want := (rookery.OIDC{Issuer: tt.issuer, Audience: tt.audience, QueuesClaim: tt.queues}); err == nil && got.OIDC != want {
			t.Errorf("LoadConfig(%+v) = %+v", tt, got.OIDC)
		}
	}
}
