package job

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestKey_ParsesWhatItDraws(t *testing.T) {
	t.Parallel()
	text, id, hash := NewKey()
	gotID, gotHash, ok := ParseKey(text)
	if !ok || gotID != id || gotHash != hash {
		t.Errorf("ParseKey(NewKey()) = %q, %x, %t, want %q, %x", gotID, gotHash, ok, id, hash)
	}
	if other, otherID, _ := NewKey(); other == text || otherID == id {
		t.Errorf("NewKey() twice = %q, want another", id)
	}
	if len(text) > 512 || strings.Contains(text, string(hash[:])) {
		t.Errorf("the text of a key has %d bytes", len(text))
	}
}

func TestKey_ParseRefuses(t *testing.T) {
	t.Parallel()
	id, secret := strings.Repeat("b", keyID), strings.Repeat("c", keySecret-1)+"a"
	if _, hash, ok := ParseKey("rookery_" + id + "_" + secret); !ok || hash == ([sha256.Size]byte{}) {
		t.Fatal("ParseKey refuses a good key, and the others prove nothing")
	}
	for _, text := range []string{
		"", "rookery_", "rookery__", "rookery_" + id, "rookery_" + id + "_", "Rookery_" + id + "_" + secret, id + "_" + secret,
		"rookery_" + id[1:] + "_" + secret, "rookery_" + id + "b_" + secret, "rookery_" + id + "_" + secret[1:], "rookery_" + id + "_c" + secret,
		"rookery_" + id[1:] + "B_" + secret, "rookery_" + id[1:] + "1_" + secret, "rookery_" + id + "_" + secret[1:] + "=", "rookery_" + id + "_" + secret[:len(secret)-1] + "b",
		"rookery_" + id + "_" + secret[:len(secret)-1] + "\n", "rookery_" + id + "_" + strings.ToUpper(secret),
	} {
		if got, _, ok := ParseKey(text); ok {
			t.Errorf("ParseKey(%q) = %q, want it refused", text, got)
		}
	}
}

func TestAPIKey_Check(t *testing.T) {
	t.Parallel()
	many := make([]string, MaxQueuePatterns+1)
	for i := range many {
		many[i] = fmt.Sprintf("q%d", i)
	}
	for _, tt := range []struct {
		what  string
		key   APIKey
		field string // "" for a good one
	}{
		{"all scopes", APIKey{Name: "a", Scopes: Scopes()}, ""},
		{"longest name", APIKey{Name: strings.Repeat("é", MaxKeyName), Scopes: []Scope{ScopeWorker}}, ""},
		{"most patterns", APIKey{Name: "a", Scopes: []Scope{ScopeWorker}, Queues: many[1:]}, ""},
		{"a pattern", APIKey{Name: "a", Scopes: []Scope{ScopeWorker}, Queues: []string{"mail.*", "email:processing"}}, ""},
		{"no name", APIKey{Scopes: []Scope{ScopeWorker}}, "name"},
		{"name too long", APIKey{Name: strings.Repeat("é", MaxKeyName+1), Scopes: []Scope{ScopeWorker}}, "name"},
		{"name with a line", APIKey{Name: "a\nb", Scopes: []Scope{ScopeWorker}}, "name"},
		{"name that is not UTF-8", APIKey{Name: "a\xff", Scopes: []Scope{ScopeWorker}}, "name"},
		{"no scope", APIKey{Name: "a"}, "scopes"},
		{"unknown scope", APIKey{Name: "a", Scopes: []Scope{"jobs"}}, "scopes"},
		{"scope twice", APIKey{Name: "a", Scopes: []Scope{ScopeWorker, ScopeWorker}}, "scopes"},
		{"too many patterns", APIKey{Name: "a", Scopes: []Scope{ScopeWorker}, Queues: many}, "queues"},
		{"admin of some queues", APIKey{Name: "a", Scopes: []Scope{ScopeAdmin}, Queues: []string{"mail"}}, "queues"},
		{"everything as a pattern", APIKey{Name: "a", Scopes: []Scope{ScopeWorker}, Queues: []string{"*"}}, "queues"},
		{"a star in the middle", APIKey{Name: "a", Scopes: []Scope{ScopeWorker}, Queues: []string{"a*b"}}, "queues"},
		{"two stars", APIKey{Name: "a", Scopes: []Scope{ScopeWorker}, Queues: []string{"a**"}}, "queues"},
	} {
		err := tt.key.Check()
		var field *FieldError
		if errors.As(err, &field); tt.field == "" && err != nil || tt.field != "" && (field == nil || field.Field != tt.field) {
			t.Errorf("%s: Check() = %v, want a fault of %q", tt.what, err, tt.field)
		}
	}
}

func TestMatchQueue(t *testing.T) {
	t.Parallel()
	all := []string{"mail", "mail.out", "mail.", "email:processing", "m"}
	for _, tt := range []struct {
		patterns []string
		want     []string
	}{
		{nil, all},
		{[]string{"mail"}, []string{"mail"}},
		{[]string{"mail.*"}, []string{"mail.out", "mail."}},
		{[]string{"mail*"}, []string{"mail", "mail.out", "mail."}},
		{[]string{"m", "email:*"}, []string{"email:processing", "m"}},
		{[]string{"other"}, nil},
	} {
		var got []string
		for _, queue := range all {
			if MatchQueue(tt.patterns, queue) {
				got = append(got, queue)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("MatchQueue(%q) matches %q, want %q", tt.patterns, got, tt.want)
		}
	}
}

func TestActor_DidLeavesOutWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	a := Actor{Principal: "cli:me"}
	for _, tt := range []struct {
		detail any
		want   string
	}{
		{nil, `{}`},
		{map[string]any{"size": 7}, `{"size":7}`},
		{[]int{1}, `{}`},
		{map[string]any{"f": func() {}}, `{}`},
		{map[string]any{"long": strings.Repeat("a", 5000)}, `{}`},
	} {
		if got := a.Did("queue.window", "mail", "mail", tt.detail); string(got.Detail) != tt.want || got.Principal != "cli:me" {
			t.Errorf("Did(%.40v) = %+v, want detail %s", tt.detail, got, tt.want)
		}
	}
}
