package job

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Scope is something that a key of the HTTP API may do.
type Scope string

// The scopes. None but ScopeAdmin contains another.
const (
	ScopeJobsWrite    Scope = "jobs:write"    // insert, cancel and redrive jobs
	ScopeJobsRead     Scope = "jobs:read"     // look at jobs, queues and metrics
	ScopePayloadsRead Scope = "payloads:read" // see payloads, beside ScopeJobsRead
	ScopeWorker       Scope = "worker"        // take jobs and report what came of them
	ScopeQueuesAdmin  Scope = "queues:admin"  // pause, resume and purge queues, set their windows
	ScopeAdmin        Scope = "admin"         // everything, keys and the audit included
)

// Scopes lists every Scope once, the least first.
func Scopes() []Scope {
	return []Scope{ScopeJobsWrite, ScopeJobsRead, ScopePayloadsRead, ScopeWorker, ScopeQueuesAdmin, ScopeAdmin}
}

// Limits of an [APIKey]. Postgres enforces the same.
const (
	MaxKeyName       = 100 // characters
	MaxQueuePatterns = 100
)

// APIKey is a key of the HTTP API as people see it: without its secret.
type APIKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scopes     []Scope    `json:"scopes"`
	Queues     []string   `json:"queues"` // names, or beginnings that end in *; none: every queue
	CreatedAt  time.Time  `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	ExpiresAt  *time.Time `json:"expires_at"` // nil: never
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"` // to a minute or so
}

// KnownKey is a key that is good, as the API checks requests by it.
type KnownKey struct {
	ID, Name string
	Hash     [sha256.Size]byte // of its secret
	Scopes   []Scope
	Queues   []string
	Left     time.Duration // how long it is good from the moment it was asked for; negative: until it is revoked
}

// A key is written rookery_<id>_<secret>; both are of a–z and 2–7, so that a
// double click selects them and a secret scanner finds them.
const (
	keyMark   = "rookery_"
	keyID     = 13 // characters: 64 random bits
	keySecret = 52 // characters: 256 random bits
)

var keyText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewKey draws a key: its text, which nothing can bring back, its id, and the hash of
// its secret.
func NewKey() (text, id string, hash [sha256.Size]byte) {
	var drawn [8]byte
	var secret [32]byte
	_, _ = rand.Read(drawn[:]) // never fails
	_, _ = rand.Read(secret[:])
	id = keyText.EncodeToString(drawn[:])
	return keyMark + id + "_" + keyText.EncodeToString(secret[:]), id, sha256.Sum256(secret[:])
}

// ParseKey returns the id in the text of a key and the hash of the secret in it, and
// whether it is written as [NewKey] does.
func ParseKey(text string) (id string, hash [sha256.Size]byte, ok bool) {
	rest, marked := strings.CutPrefix(text, keyMark)
	id, written, cut := strings.Cut(rest, "_")
	if !marked || !cut || !IsKeyID(id) || len(written) != keySecret {
		return "", hash, false
	}
	secret, err := keyText.DecodeString(written)
	// The last character has four bits to spare: of its sixteen spellings one is right.
	if err != nil || keyText.EncodeToString(secret) != written {
		return "", hash, false
	}
	return id, sha256.Sum256(secret), true
}

// IsKeyID reports whether s is written like the id of a key.
func IsKeyID(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return len(s) == keyID
}

// Check returns a [*FieldError] when name, scopes or queues of a key that is to be
// made are not within the limits.
func (k APIKey) Check() error {
	if n := utf8.RuneCountInString(k.Name); n < 1 || n > MaxKeyName {
		return &FieldError{Field: "name", Problem: fmt.Sprintf("has %d characters, must have 1 to %d", n, MaxKeyName)}
	}
	if !storable(k.Name) || strings.ContainsFunc(k.Name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return &FieldError{Field: "name", Problem: "must have only characters that can be printed"}
	}
	if len(k.Scopes) == 0 {
		return &FieldError{Field: "scopes", Problem: "is empty, must have at least one of " + scopeList()}
	}
	for i, s := range k.Scopes {
		if !slices.Contains(Scopes(), s) {
			return &FieldError{Field: "scopes", Problem: fmt.Sprintf("has %q, must have only %s", short(string(s)), scopeList())}
		}
		if slices.Contains(k.Scopes[:i], s) {
			return &FieldError{Field: "scopes", Problem: fmt.Sprintf("has %s twice", s)}
		}
	}
	if len(k.Queues) > MaxQueuePatterns {
		return &FieldError{Field: "queues", Problem: fmt.Sprintf("has %d patterns, must have at most %d", len(k.Queues), MaxQueuePatterns)}
	}
	if len(k.Queues) > 0 && slices.Contains(k.Scopes, ScopeAdmin) {
		return &FieldError{Field: "queues", Problem: "must be empty with the scope admin, which is for every queue"}
	}
	for _, p := range k.Queues {
		if err := CheckQueueName(strings.TrimSuffix(p, "*")); err != nil {
			return &FieldError{Field: "queues", Problem: fmt.Sprintf("has %q, must have names of queues, or beginnings such as mail.*", short(p))}
		}
	}
	return nil
}

// MatchQueue reports whether a queue is one of those that patterns name: names, or
// beginnings that end in *. No patterns match every queue.
func MatchQueue(patterns []string, queue string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		beginning, open := strings.CutSuffix(p, "*")
		return p == queue || open && strings.HasPrefix(queue, beginning)
	})
}

func scopeList() string {
	var b strings.Builder
	for i, s := range Scopes() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}

// short keeps somebody's own words in an error short.
func short(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
