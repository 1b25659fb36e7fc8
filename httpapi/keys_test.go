package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// fakeKeyAdmin keeps keys in memory, in the order of their ids.
type fakeKeyAdmin struct {
	mu     sync.Mutex
	keys   []job.APIKey
	hashes map[string][sha256.Size]byte
	by     []job.Actor
}

func (f *fakeKeyAdmin) CreateAPIKey(_ context.Context, by job.Actor, k job.APIKey, hash [sha256.Size]byte) (job.APIKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hashes == nil {
		f.hashes = map[string][sha256.Size]byte{}
	}
	f.keys, f.by, f.hashes[k.ID] = append(f.keys, k), append(f.by, by), hash
	slices.SortFunc(f.keys, func(a, b job.APIKey) int { return strings.Compare(a.ID, b.ID) })
	return k, nil
}

func (f *fakeKeyAdmin) APIKeys(_ context.Context, after string, limit int) ([]job.APIKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []job.APIKey
	for _, k := range f.keys {
		if k.ID > after && len(out) < limit {
			out = append(out, k)
		}
	}
	return out, nil
}

func (f *fakeKeyAdmin) RevokeAPIKey(_ context.Context, by job.Actor, id string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by = append(f.by, by)
	if _, known := f.hashes[id]; !known {
		return false, job.ErrNotFound
	}
	return true, nil
}

// fakeAudit keeps lines in memory, the newest last.
type fakeAudit struct {
	mu    sync.Mutex
	lines []job.Change
	asked job.ChangeFilter
}

func (f *fakeAudit) Changes(_ context.Context, by job.ChangeFilter) (job.ChangePage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = by
	var page job.ChangePage
	for _, c := range slices.Backward(f.lines) {
		switch {
		case by.Before > 0 && c.ID >= by.Before:
		case len(page.Changes) == by.Limit:
			page.Next = page.Changes[by.Limit-1].ID
			return page, nil
		default:
			page.Changes = append(page.Changes, c)
		}
	}
	return page, nil
}

func TestPostKey_ShowsTheSecretOnce(t *testing.T) {
	t.Parallel()
	admin := &fakeKeyAdmin{}
	s := newServer(t, &fakeJobs{}, Options{KeyAdmin: admin})
	w := post(s, "/v1/keys", `{"name":"web","scopes":["jobs:write","worker"],"queues":["mail.*"],"expires_at":"2030-01-02T03:04:05Z"}`)
	made := decodeInto[map[string]any](t, w, http.StatusCreated)
	text, _ := made["key"].(string)
	id, hash, ok := job.ParseKey(text)
	if !ok || id != made["id"] || admin.hashes[id] != hash {
		t.Errorf("POST = %s, want a key that the store knows by its hash", w.Body)
	}
	if k := admin.keys[0]; k.Name != "web" || len(k.Scopes) != 2 || k.Queues[0] != "mail.*" || k.ExpiresAt.Year() != 2030 {
		t.Errorf("made %+v, want what was asked for", k)
	}
	if a := admin.by[0]; a.Principal != "local" || a.RequestID != w.Header().Get("X-Request-Id") || !netip.MustParseAddr(a.IP).IsValid() {
		t.Errorf("made by %+v, want the caller", a)
	}
	post(s, "/v1/keys", `{"name":"b","scopes":["admin"]}`)
	secret := strings.Split(text, "_")[2]
	seen, cursor := 0, ""
	for range 2 {
		w := get(s, "/v1/keys?limit=1"+cursor)
		page := decodeInto[struct {
			Keys       []map[string]any `json:"keys"`
			NextCursor *string          `json:"next_cursor"`
		}](t, w, 200)
		if seen += len(page.Keys); strings.Contains(w.Body.String(), secret) || strings.Contains(w.Body.String(), `"key":`) || strings.Contains(w.Body.String(), `"queues":null`) {
			t.Errorf("GET /v1/keys = %s, want no secret and no null", w.Body)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	if seen != 2 || cursor == "" {
		t.Errorf("two pages of one had %d keys, want 2", seen)
	}
	for range 2 {
		if w := do(s, newRequestTo(http.MethodDelete, "/v1/keys/"+id, "")); w.Code != 200 {
			t.Errorf("DELETE = %d %s, want 200", w.Code, w.Body)
		}
	}
	wantProblem(t, do(s, newRequestTo(http.MethodDelete, "/v1/keys/aaaaaaaaaaaaa", "")), 404, codeKeyNotFound)
	wantProblem(t, do(s, newRequestTo(http.MethodDelete, "/v1/keys/"+text, "")), 400, codeInvalidParameter)
}

func TestPostKey_Refused(t *testing.T) {
	t.Parallel()
	admin := &fakeKeyAdmin{}
	s := newServer(t, &fakeJobs{}, Options{KeyAdmin: admin})
	many := `["a` + strings.Repeat(`","a`, 100) + `"]`
	for _, tt := range []struct{ body, field, code string }{
		{`[]`, "", faultType},
		{`{}`, "name", faultInvalid},
		{`{"name":"a"}`, "scopes", faultInvalid},
		{`{"name":null,"scopes":["worker"]}`, "name", faultNull},
		{`{"name":"a","scopes":"worker"}`, "scopes", faultType},
		{`{"name":"a","scopes":["worker",null]}`, "scopes", faultNull},
		{`{"name":"a","scopes":["worker",1]}`, "scopes", faultType},
		{`{"name":"a","scopes":["root"]}`, "scopes", faultInvalid},
		{`{"name":"a","scopes":["worker"],"queues":` + many + `}`, "queues", faultRange},
		{`{"name":"a","scopes":["worker"],"queues":["a b"]}`, "queues", faultInvalid},
		{`{"name":"a","scopes":["admin"],"queues":["a"]}`, "queues", faultInvalid},
		{`{"name":"a","scopes":["worker"],"expires_at":"tomorrow"}`, "expires_at", faultFormat},
		{`{"name":"a","name":"b","scopes":["worker"]}`, "name", faultDuplicate},
		{`{"name":"a\u0000","scopes":["worker"]}`, "name", faultNUL},
		{`{"name":"a","scopes":["worker"],"id":"b"}`, "id", faultUnknown},
	} {
		p := wantProblem(t, post(s, "/v1/keys", tt.body), 422, codeInvalidKey)
		if len(p.Errors) == 0 || p.Errors[0].Field != tt.field || p.Errors[0].Code != tt.code {
			t.Errorf("POST %.60s: errors = %+v, want %s of %q", tt.body, p.Errors, tt.code, tt.field)
		}
	}
	for _, target := range []string{"/v1/keys?limit=0", "/v1/keys?limit=201", "/v1/keys?limit=", "/v1/keys?cursor=x", "/v1/keys?offset=1", "/v1/keys?limit=1&limit=2"} {
		wantProblem(t, get(s, target), 400, codeInvalidParameter)
	}
	if len(admin.keys) != 0 {
		t.Errorf("%d keys were made by refused requests", len(admin.keys))
	}
}

func TestAudit_Lists(t *testing.T) {
	t.Parallel()
	audit := &fakeAudit{}
	s := newServer(t, &fakeJobs{}, Options{Audit: audit})
	ctx := withCaller(newRequestTo("POST", "/", ""), caller{principal: unbound("key:a"), requestID: "r", ip: "192.0.2.1"}).Context()
	for i := range 3 {
		c := s.actor(ctx).Did("queue.window", "mail", "mail", map[string]int{"size": i})
		c.ID = int64(i + 1)
		audit.lines = append(audit.lines, c)
	}
	page := decodeInto[struct {
		Changes    []job.Change `json:"changes"`
		NextCursor *string      `json:"next_cursor"`
	}](t, get(s, "/v1/audit?limit=2"), 200)
	if len(page.Changes) != 2 || page.NextCursor == nil || *page.NextCursor != "2" || page.Changes[0].ID != 3 {
		t.Fatalf("GET /v1/audit = %+v, want the newest two and a cursor", page)
	}
	want := job.Change{ID: 3, Principal: "key:a", Action: "queue.window", Target: "mail", QueueName: "mail", Detail: json.RawMessage(`{"size":2}`), RequestID: "r", IP: "192.0.2.1"}
	if got := page.Changes[0]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("change = %v, want %v", got, want)
	}
	if w := get(s, "/v1/audit?cursor=2"); !strings.Contains(w.Body.String(), `"next_cursor":null`) || strings.Count(w.Body.String(), `"id"`) != 1 {
		t.Errorf("the last page = %s, want one and no cursor", w.Body)
	}
	get(s, "/v1/audit?principal=cli:*&action=job.cancel&target=7&queue_name=mail&limit=9")
	if want := (job.ChangeFilter{Principal: "cli:*", Action: "job.cancel", Target: "7", QueueName: "mail", Limit: 9}); audit.asked != want {
		t.Errorf("the store was asked for %+v, want %+v", audit.asked, want)
	}
	for _, target := range []string{"/v1/audit?cursor=-1", "/v1/audit?cursor=x", "/v1/audit?limit=1e1", "/v1/audit?actor=x", "/v1/audit?target=1&target=2", "/v1/audit?target=" + strings.Repeat("a", 201)} {
		wantProblem(t, get(s, target), 400, codeInvalidParameter)
	}
}
