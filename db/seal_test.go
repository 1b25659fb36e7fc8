package db_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

func (w *world) sealKeys() (keys []job.SealKey, signs int32) {
	w.Helper()
	keys, err := w.SealKeys(w.Context())
	if err != nil {
		w.Fatalf("SealKeys: %v", err)
	}
	if _, err := job.NewSeals(keys); err != nil {
		w.Fatalf("NewSeals(SealKeys()) = %v", err)
	}
	for _, k := range keys {
		if k.Signs {
			signs = k.ID
		}
	}
	return keys, signs
}

// aged makes a key seem older.
func (w *world) aged(id int32, by string) {
	w.Helper()
	w.exec("UPDATE outbox.seals SET created_at = created_at - $2::text::interval WHERE id = $1", id, by)
}

// The migration makes a key, which signs at once; the next one signs when everybody
// must have read it.
func TestSeals_NewKeySignsAfterAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, signs := w.sealKeys()
	if len(first) != 1 || signs != first[0].ID {
		t.Fatalf("SealKeys() after the migrations = %v, of which %d signs, want one that signs", first, signs)
	}
	id, err := w.RotateSeals(t.Context(), people)
	if err != nil || id == signs {
		t.Fatalf("RotateSeals() = %d, %v", id, err)
	}
	both, still := w.sealKeys()
	if len(both) != 2 || still != signs {
		t.Errorf("SealKeys() after a rotation = %v, of which %d signs, want two and %d", both, still, signs)
	}
	if bytes.Equal(both[0].Secret, both[1].Secret) {
		t.Error("two keys have one secret")
	}
	w.aged(signs, "1 minute")
	w.aged(id, "30 seconds") // half a minute is left for all this
	if _, now := w.sealKeys(); now != signs {
		t.Errorf("less than a minute after a rotation %d signs, want %d", now, signs)
	}
	w.aged(id, "30 seconds")
	if _, now := w.sealKeys(); now != id {
		t.Errorf("a minute after a rotation %d signs, want %d", now, id)
	}
}

// Keys are drawn, ids and secrets: a Postgres that lost its tail gives none again.
func TestSeals_AreDrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 50 {
		if _, err := w.RotateSeals(t.Context(), people); err != nil {
			t.Fatal(err)
		}
	}
	keys, _ := w.sealKeys()
	ids, secrets, ones := map[int32]bool{}, map[string]bool{}, 0
	for _, k := range keys {
		ids[k.ID], secrets[string(k.Secret)] = true, true
		for _, b := range k.Secret {
			for ; b > 0; b &= b - 1 {
				ones++
			}
		}
	}
	if len(ids) != 51 || len(secrets) != 51 {
		t.Errorf("51 keys have %d ids and %d secrets", len(ids), len(secrets))
	}
	// 13,056 bits: 6,528 ones, give or take ten standard deviations.
	if ones < 6528-571 || ones > 6528+571 {
		t.Errorf("%d of %d bits are 1, want about half", ones, 51*256)
	}
}

func TestSeals_RetireWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, old := w.sealKeys()
	retired := func(what string, id int32, forced bool, want error) {
		t.Helper()
		if err := w.RetireSeal(t.Context(), people, id, forced); !errors.Is(err, want) {
			t.Errorf("RetireSeal(%d, %t), %s = %v, want %v", id, forced, what, err, want)
		}
	}
	retired("the only one", old, false, job.ErrState)
	retired("the only one", old, true, job.ErrState)
	retired("nobody's", old-1, true, job.ErrState)
	fresh, err := w.RotateSeals(t.Context(), people)
	if err != nil {
		t.Fatal(err)
	}
	retired("the next one is too young", old, false, job.ErrState)
	w.insert(1)
	b := w.claim(1)
	w.aged(old, "1 hour")
	w.aged(fresh, "200 seconds") // the batch was claimed 200 s after the rotation
	retired("the newer one", fresh, false, job.ErrState)
	w.exec("UPDATE outbox.dispatches SET created_at = created_at - interval '30 seconds' WHERE id = $1", b.DispatchID)
	retired("a batch from 170 s after the rotation", old, false, job.ErrState)
	w.exec("UPDATE outbox.dispatches SET created_at = created_at + interval '30 seconds' WHERE id = $1", b.DispatchID)
	retired("in due time", old, false, nil)
	retired("retired already", old, true, job.ErrState)
	if keys, signs := w.sealKeys(); len(keys) != 1 || signs != fresh {
		t.Errorf("SealKeys() after retiring %d = %v, want %d alone", old, keys, fresh)
	}
	if n := get[int](w, "SELECT octet_length(secret) FROM outbox.seals WHERE id = $1", old); n != 0 {
		t.Errorf("a retired key has a secret of %d bytes, want none", n)
	}
	// Somebody has read the key: what it sealed is to be refused at once.
	leaked := fresh
	fresh, err = w.RotateSeals(t.Context(), people)
	if err != nil {
		t.Fatal(err)
	}
	retired("a leaked one, with force", leaked, true, nil)
	if keys, signs := w.sealKeys(); len(keys) != 1 || signs != fresh {
		t.Errorf("SealKeys() after a forced change = %v, want %d alone", keys, fresh)
	}
	seals, err := w.Seals(t.Context())
	if err != nil || len(seals) != 3 || seals[2].RetiredAt != nil || seals[0].RetiredAt == nil {
		t.Errorf("Seals() = %+v, %v, want three, two of them retired", seals, err)
	}
}

// Who puts jobs in, and who looks, must not be able to seal; relays and workers read
// the keys, and make none.
func TestSeals_AreReadByTheServersRoleOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		role                  string
		reads, lists, rotates bool
	}{
		{"rookery_server", true, true, false},
		{"rookery_readonly", false, true, false},
		{"rookery_producer", false, false, false},
	} {
		s, err := db.Open(t.Context(), w.loginIn(c.role), db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		keys, err := s.SealKeys(t.Context())
		may(t, c.role, "SealKeys", c.reads, err)
		if !c.reads && len(keys) > 0 {
			t.Errorf("SealKeys() as %s = %v, want none", c.role, keys)
		}
		_, err = s.Seals(t.Context())
		may(t, c.role, "Seals", c.lists, err)
		_, err = s.RotateSeals(t.Context(), people)
		may(t, c.role, "RotateSeals", c.rotates, err)
		may(t, c.role, "RetireSeal", false, s.RetireSeal(t.Context(), people, 1, true))
	}
	if acl := get[[]string](w, `SELECT coalesce(array_agg(g.grantee || ' ' || g.privilege_type), '{}')
		FROM information_schema.role_table_grants AS g
		WHERE g.table_schema = 'outbox' AND g.table_name = 'seals' AND g.grantee = 'PUBLIC'`); len(acl) > 0 {
		t.Errorf("everybody may %v outbox.seals", acl)
	}
}

func may(t *testing.T, role, what string, allowed bool, err error) {
	t.Helper()
	if allowed && err != nil || !allowed && (err == nil || !strings.Contains(err.Error(), "permission denied")) {
		t.Errorf("%s as %s = %v, want allowed: %t", what, role, err, allowed)
	}
}

// Keys that somebody has spoiled by hand are named, not used.
func TestSeals_TableRefusesOddKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, values := range []string{
		"(0, decode(repeat('00', 32), 'hex'), NULL)", "(-1, decode(repeat('00', 32), 'hex'), NULL)", "(5, 'short', NULL)", "(5, '', NULL)",
		"(5, decode(repeat('00', 32), 'hex'), now())", "(NULL, decode(repeat('00', 32), 'hex'), NULL)",
	} {
		if _, err := w.side.Exec(t.Context(), "INSERT INTO outbox.seals (id, secret, retired_at) VALUES "+values); err == nil {
			t.Errorf("INSERT INTO outbox.seals VALUES %s = nil, want an error", values)
		}
	}
	w.exec("DELETE FROM outbox.seals")
	keys, err := w.SealKeys(t.Context())
	if err != nil || slices.ContainsFunc(keys, func(k job.SealKey) bool { return k.Signs }) {
		t.Errorf("SealKeys() of an empty table = %v, %v, want none", keys, err)
	}
}
