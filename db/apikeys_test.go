package db_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

var people = job.Actor{Principal: "cli:ada", RequestID: "r1", IP: "192.0.2.7"}

// made keeps a key and returns it with its hash.
func (w *world) made(k job.APIKey) (job.APIKey, [sha256.Size]byte) {
	w.Helper()
	_, id, hash := job.NewKey()
	k.ID = id
	out, err := w.CreateAPIKey(w.Context(), people, k, hash)
	if err != nil {
		w.Fatalf("CreateAPIKey(%+v): %v", k, err)
	}
	return out, hash
}

// Everything about keys, done by a user who has rookery_api and nothing else.
func TestAPIKeys_AreKnownUntilTheyEnd(t *testing.T) {
	t.Parallel()
	base := newWorld(t)
	w := worldWithout(base, devtest.Login(t, base.url, db.APIRole))
	soon := time.Now().Add(time.Hour)
	k, hash := w.made(job.APIKey{Name: "web", Scopes: []job.Scope{job.ScopeJobsWrite, job.ScopeJobsRead}, Queues: []string{"mail.*"}, ExpiresAt: &soon})
	plain, _ := w.made(job.APIKey{Name: "ops", Scopes: []job.Scope{job.ScopeAdmin}})

	got, err := w.APIKey(t.Context(), k.ID)
	if err != nil || got.Left <= 0 || got.Left > time.Hour+time.Minute {
		t.Fatalf("APIKey = %+v, %v, want it with an hour left", got, err)
	}
	want := job.KnownKey{ID: k.ID, Name: "web", Hash: hash, Scopes: k.Scopes, Queues: k.Queues, Left: got.Left}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("APIKey (-want +got):\n%s", diff)
	}
	if got, err := w.APIKey(t.Context(), plain.ID); err != nil || got.Left >= 0 {
		t.Errorf("APIKey of one without an end = %+v, %v, want Left below 0", got, err)
	}
	if err := w.TouchAPIKeys(t.Context(), []string{k.ID, plain.ID, "none"}); err != nil {
		t.Errorf("TouchAPIKeys: %v", err)
	}
	listed := map[string]job.APIKey{}
	for after := ""; ; {
		page, err := w.APIKeys(t.Context(), after, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		after, listed[page[0].ID] = page[0].ID, page[0]
	}
	if l := listed[k.ID]; len(listed) != 2 || l.CreatedBy != "cli:ada" || l.LastUsedAt == nil || l.ExpiresAt == nil || l.RevokedAt != nil || !cmp.Equal(l.Queues, k.Queues) {
		t.Errorf("APIKeys = %+v, want both, used", listed)
	}

	for i, want := range []bool{true, false} {
		if revoked, err := w.RevokeAPIKey(t.Context(), people, k.ID); err != nil || revoked != want {
			t.Errorf("RevokeAPIKey, time %d = %t, %v, want %t", i+1, revoked, err, want)
		}
	}
	base.exec("UPDATE outbox.api_keys SET expires_at = now() WHERE id = $1", plain.ID)
	for _, id := range []string{k.ID, plain.ID, "aaaaaaaaaaaaa"} {
		if got, err := w.APIKey(t.Context(), id); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("APIKey(%s) of one that has ended or never was = %+v, %v, want ErrNotFound", id, got, err)
		}
	}
	if _, err := w.RevokeAPIKey(t.Context(), people, "aaaaaaaaaaaaa"); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("RevokeAPIKey of none = %v, want ErrNotFound", err)
	}
	var actions []string
	page, err := w.Changes(t.Context(), job.ChangeFilter{Limit: 10})
	changes := page.Changes
	for _, c := range changes {
		if actions = append(actions, c.Action+" "+c.Target); c.Principal != "cli:ada" || c.RequestID != "r1" || c.IP != "192.0.2.7" || c.At.IsZero() {
			t.Errorf("change = %+v, want who and from where", c)
		}
	}
	if diff := cmp.Diff([]string{"key.revoke " + k.ID, "key.create " + plain.ID, "key.create " + k.ID}, actions); err != nil || diff != "" {
		t.Errorf("Changes, %v (-want +got):\n%s", err, diff)
	}
	if page, err := w.Changes(t.Context(), job.ChangeFilter{Before: changes[1].ID, Limit: 1}); err != nil || len(page.Changes) != 1 || page.Changes[0].ID != changes[2].ID {
		t.Errorf("Changes below %d = %+v, %v, want the oldest", changes[1].ID, page, err)
	}
}

// worldWithout is a world of the same database that another user sees, who may not
// begin epochs.
func worldWithout(base *world, login string) *world {
	base.Helper()
	s, err := db.Open(base.Context(), login, db.Options{})
	if err != nil {
		base.Fatal(err)
	}
	base.Cleanup(s.Close)
	return &world{T: base.T, Store: s, url: login, side: sidePool(base.T, login)}
}

// The line of the audit and the change stand or fall together.
func TestChanging_IsOneTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, id, hash := job.NewKey()
	k := job.APIKey{ID: id, Name: "a", Scopes: []job.Scope{job.ScopeWorker}}
	nobody := job.Actor{Principal: strings.Repeat("a", 201)} // more than the audit takes
	var data *job.DataError
	if _, err := w.CreateAPIKey(t.Context(), nobody, k, hash); !errors.As(err, &data) {
		t.Errorf("CreateAPIKey without a line = %v, want a DataError", err)
	}
	if n := get[int](w, "SELECT (SELECT count(*) FROM outbox.api_keys) + (SELECT count(*) FROM outbox.audit)"); n != 0 {
		t.Errorf("%d rows, want none: no key without its line", n)
	}
	made, _ := w.made(k)
	if _, err := w.CreateAPIKey(t.Context(), people, made, hash); !errors.As(err, &data) {
		t.Errorf("the same id again = %v, want a DataError", err)
	}
	if _, err := w.RevokeAPIKey(t.Context(), nobody, made.ID); err == nil {
		t.Error("RevokeAPIKey without a line = nil, want an error")
	}
	if _, err := w.APIKey(t.Context(), made.ID); err != nil {
		t.Errorf("the key whose revoking failed: %v, want it good", err)
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.audit"); n != 1 {
		t.Errorf("%d lines, want the one of the key that was made", n)
	}
	// A change that fails at its commit leaves no line either.
	w.exec(`CREATE FUNCTION public.never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'never'; END $$`)
	w.exec(`CREATE CONSTRAINT TRIGGER never AFTER UPDATE ON outbox.api_keys DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.never()`)
	if _, err := w.RevokeAPIKey(t.Context(), people, made.ID); err == nil {
		t.Error("RevokeAPIKey that cannot be committed = nil, want an error")
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.audit"); n != 1 {
		t.Errorf("%d lines, want no line of what was not committed", n)
	}
	var field *job.FieldError
	if _, err := w.CreateAPIKey(t.Context(), people, job.APIKey{ID: id, Name: "a"}, hash); !errors.As(err, &field) || field.Field != "scopes" {
		t.Errorf("a key without scopes = %v, want a FieldError of scopes", err)
	}
}

// Who runs the service adds to the audit and sees it, and changes nothing in it; nor may
// producers see keys, or people hashes.
func TestAudit_IsAppendOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.RecordChange(t.Context(), people.Did("queue.pause", "mail", "mail", nil)); err != nil {
		t.Fatalf("RecordChange: %v", err)
	}
	w.made(job.APIKey{Name: "a", Scopes: []job.Scope{job.ScopeWorker}})
	with := func(column, value string) string {
		return "INSERT INTO outbox.audit (principal, action, target, queue_name, detail, request_id" + column + ") VALUES ('me', 'a.b', '', '', '{}', ''" + value + ")"
	}
	for role, c := range map[string]struct{ may, mayNot []string }{
		"rookery_server": {
			[]string{with("", ""), "SELECT * FROM outbox.audit", "UPDATE outbox.api_keys SET revoked_at = now()"},
			[]string{
				"UPDATE outbox.audit SET principal = 'x'", "DELETE FROM outbox.audit", "TRUNCATE outbox.audit", with(", at", ", now()"),
				"DELETE FROM outbox.api_keys", "UPDATE outbox.api_keys SET hash = ''", "UPDATE outbox.api_keys SET scopes = '{admin}'", "UPDATE outbox.api_keys SET expires_at = NULL",
			},
		},
		"rookery_readonly": {
			[]string{"SELECT * FROM outbox.audit", "SELECT id, name FROM outbox.api_keys"},
			[]string{"SELECT hash FROM outbox.api_keys", with("", ""), "UPDATE outbox.api_keys SET revoked_at = now()"},
		},
		"rookery_producer": {nil, []string{"SELECT id FROM outbox.api_keys", "SELECT id FROM outbox.audit", with("", "")}},
		"rookery_worker":   {nil, []string{"SELECT id FROM outbox.api_keys", "SELECT id FROM outbox.audit", with("", "")}},
	} {
		side := sidePool(t, devtest.Login(t, w.url, role))
		for _, sql := range c.may {
			if _, err := side.Exec(t.Context(), sql); err != nil {
				t.Errorf("%s as %s: %v", sql, role, err)
			}
		}
		for _, sql := range c.mayNot {
			if _, err := side.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s as %s = %v, want it refused (42501)", sql, role, err)
			}
		}
	}
}

// An insert under a key says whether it was the first.
func TestInsertOnce_SaysWhoWasFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, replayed, err := w.InsertOnce(t.Context(), spooled(1, "a", "b"))
	if err != nil || replayed || len(first) != 2 {
		t.Fatalf("InsertOnce = %v, %t, %v, want two new jobs", first, replayed, err)
	}
	again, replayed, err := w.InsertOnce(t.Context(), spooled(1, "a", "b"))
	if err != nil || !replayed || !cmp.Equal(first, again) {
		t.Errorf("InsertOnce again = %v, %t, %v, want %v replayed", again, replayed, err, first)
	}
	other := spooled(1, "c")
	other.Digest = []byte("another body....")
	if _, _, err := w.InsertOnce(t.Context(), other); !errors.Is(err, job.ErrKeyReused) {
		t.Errorf("another request under the key = %v, want ErrKeyReused", err)
	}

	// While the first is under way the second waits, gives up after a second, and later
	// finds what the first has left.
	tx := w.begun()
	w.in(tx, `SELECT outbox.insert_spooled($1, $2, '[{"queue_name": "mail", "kind": "first", "payload": 1, "priority": 1, "max_attempts": 1}]')`, spooled(2).Key, spooled(2).Digest)
	if _, _, err := w.hasty().InsertOnce(t.Context(), spooled(2, "copy")); !errors.Is(err, job.ErrConflict) || !errors.Is(err, job.ErrNotInserted) {
		t.Errorf("while the first is under way = %v, want ErrConflict and ErrNotInserted", err)
	}
	results := make(chan bool, 1)
	w.all(
		func(ctx context.Context) error {
			_, replayed, err := w.InsertOnce(ctx, spooled(2, "copy"))
			results <- replayed
			return err
		},
		func(ctx context.Context) error { w.waitsForLock(); return tx.Commit(ctx) },
	)
	if !<-results {
		t.Error("the one that waited for the first = fresh, want replayed")
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.jobs"); n != 3 {
		t.Errorf("%d jobs, want 3", n)
	}
}
