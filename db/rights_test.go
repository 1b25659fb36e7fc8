package db_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func (w *world) rights(url string) db.Rights {
	w.Helper()
	f, err := db.Diagnose(w.Context(), url)
	if err != nil {
		w.Fatalf("Diagnose: %v", err)
	}
	return f.Rights
}

// Each role has its own rights and not all of the others'; rookery_server has all.
func TestRights_OfEachRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		role     string
		complete []string
	}{
		{"rookery_relay", []string{db.RelayRole, db.WorkerRole}}, // whatever a worker may, and more
		{"rookery_worker", []string{db.WorkerRole}},
		{"rookery_worker rookery_pusher", []string{db.PusherRole, db.WorkerRole}},
		{"rookery_api", []string{db.APIRole, db.PusherRole}}, // who sets endpoints may disable them
		{"rookery_server", []string{db.APIRole, db.PusherRole, db.RelayRole, db.WorkerRole}},
		{"rookery_producer", nil},
		{"rookery_readonly", nil},
	} {
		r := w.rights(devtest.Login(t, w.url, strings.Fields(c.role)...))
		var complete []string
		for role, missing := range r.Missing {
			if len(missing) == 0 {
				complete = append(complete, role)
			}
		}
		slices.Sort(complete)
		if !slices.Equal(complete, c.complete) || len(r.Missing) != 4 || r.Superuser || r.Owner {
			t.Errorf("rights of %s = complete for %v, superuser %t, owner %t, want %v and neither; missing: %v", c.role, complete, r.Superuser, r.Owner, c.complete, r.Missing)
		}
	}
	if r := w.rights(w.url); !r.Superuser || !r.Owner || len(r.Missing[db.APIRole]) != 0 {
		t.Errorf("rights of postgres = %+v, want a superuser who lacks nothing", r)
	}
}

// What is lacking is named, whatever kind of right it is: here workers are given more
// than rookery_server has.
func TestRights_NamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	login := devtest.Login(t, w.url, "rookery_server")
	w.exec(`CREATE FUNCTION outbox.extra() RETURNS integer LANGUAGE sql AS 'SELECT 1'`)
	w.exec(`REVOKE ALL ON FUNCTION outbox.extra() FROM PUBLIC`)
	for _, right := range []string{"EXECUTE ON FUNCTION outbox.extra()", "INSERT ON outbox.seals", "UPDATE (secret) ON outbox.seals", "CREATE ON SCHEMA outbox"} {
		w.exec("GRANT " + right + " TO rookery_worker")
	}
	w.exec("GRANT USAGE ON SEQUENCE outbox.jobs_id_seq TO rookery_worker")
	want := []string{"EXECUTE on extra()", "USAGE on jobs_id_seq", "CREATE on schema outbox", "INSERT on seals", "UPDATE on seals.secret"}
	if got := w.rights(login).Missing[db.WorkerRole]; !slices.Equal(got, want) {
		t.Errorf("Missing = %q, want %q", got, want)
	}
}

// All that a push worker asks of the store beside what a worker does.
func TestRights_OfPushWorkersAreEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(1)
	refs := w.claim(1).Refs()
	w.set(endpointAt(queue, "https://a.example"))
	s, err := db.Open(t.Context(), devtest.Login(t, w.url, db.WorkerRole, db.PusherRole), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	signed, err := s.SignedEndpoints(t.Context())
	if err != nil || len(signed) != 1 || len(signed[0].Secrets) != 1 {
		t.Errorf("SignedEndpoints = %v, %v, want one with a secret", len(signed), err)
	}
	_, sealed := s.SealKeys(t.Context())
	open, asked := s.OpenAttempts(t.Context(), []job.OpenAttempt{{Ref: refs[0], HeldAs: refs[0].DispatchID, AttemptCount: 1}})
	if sealed != nil || asked != nil || len(open) != 1 || !open[0].Open {
		t.Errorf("SealKeys: %v, OpenAttempts = %v, %v, want the one open", sealed, open, asked)
	}
	if done, err := s.DisableEndpoint(t.Context(), queue, "https://a.example", "410 Gone"); err != nil || !done || !get[bool](w, "SELECT paused FROM outbox.queues WHERE name = $1", queue) {
		t.Errorf("DisableEndpoint = %t, %v, want it done and the queue paused", done, err)
	}
}

// What each part must not be able to do, tried by a user who has its role.
func TestRights_EachPartIsRefusedTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(1)
	everybody := []string{
		"UPDATE outbox.jobs SET payload = '{}'", "UPDATE outbox.jobs SET queue_name = 'x'", "UPDATE outbox.jobs SET priority = 0", "UPDATE outbox.jobs SET headers = NULL",
		"TRUNCATE outbox.jobs", "DROP TABLE outbox.ready", "ALTER TABLE outbox.jobs DISABLE TRIGGER ALL", "CREATE TABLE outbox.mine (a int)",
		"INSERT INTO outbox.seals (id, secret) VALUES (1, decode(repeat('00', 32), 'hex'))", "UPDATE outbox.seals SET retired_at = now(), secret = ''", "DELETE FROM outbox.seals",
		"SELECT outbox.rotate_seals()", "UPDATE outbox.attempts SET outcome = 'x'", "UPDATE outbox.dead_letters SET reason = 'x'",
		"DELETE FROM outbox.queues", "SELECT nextval('outbox.jobs_id_seq')", "SELECT setval('outbox.jobs_id_seq', 1)", "DELETE FROM rookery_migrations", "UPDATE rookery_migrations SET is_applied = false",
	}
	for role, more := range map[string][]string{
		db.RelayRole: {
			"SELECT * FROM outbox.attempts", "SELECT error FROM outbox.attempts", "SELECT reason FROM outbox.dead_letters", "UPDATE outbox.queues SET paused = true", "SELECT outbox.cancel(1)", "SELECT outbox.redrive(1)",
			"INSERT INTO outbox.jobs (run_at) VALUES (now())", "SELECT * FROM outbox.spooled",
		},
		db.WorkerRole: {
			"INSERT INTO outbox.jobs DEFAULT VALUES", "INSERT INTO outbox.jobs (payload) VALUES ('{}')", "UPDATE outbox.queues SET epoch = 9", "INSERT INTO outbox.queues (name) VALUES ('x')",
			"DELETE FROM outbox.dispatches", "DELETE FROM outbox.scheduled", "DELETE FROM outbox.cancels", "SELECT * FROM outbox.cancels", "SELECT outbox.cancel(1)", "SELECT outbox.redrive(1)",
			"SELECT outbox.enqueue()", "SELECT * FROM outbox.spooled", "DELETE FROM outbox.jobs", "DELETE FROM outbox.attempts",
		},
		db.WorkerRole + " " + db.PusherRole: {
			"INSERT INTO outbox.api_keys (id, name, hash, scopes, created_by) VALUES ('aaaaaaaaaaaaa', 'x', '', '{admin}', 'x')", "SELECT id FROM outbox.api_keys", "UPDATE outbox.api_keys SET revoked_at = now()",
			"SELECT id FROM outbox.audit", "INSERT INTO outbox.audit (at) VALUES (now())", "UPDATE outbox.endpoints SET url = 'https://b.example'", "UPDATE outbox.endpoints SET secret = ''",
			"INSERT INTO outbox.endpoints (queue_name) VALUES ('x')", "DELETE FROM outbox.endpoints", "INSERT INTO outbox.callbacks DEFAULT VALUES", "DELETE FROM outbox.callbacks",
			"INSERT INTO outbox.jobs DEFAULT VALUES", "INSERT INTO outbox.jobs (payload) VALUES ('{}')", "DELETE FROM outbox.jobs", "SELECT outbox.enqueue()", "SELECT outbox.cancel(1)", "SELECT outbox.delete(1)",
			"SELECT error FROM outbox.attempts", "SELECT * FROM outbox.operations", "SELECT * FROM outbox.spooled", "UPDATE outbox.queues SET epoch = 9", "UPDATE outbox.queues SET window_size = 9",
		},
		db.APIRole: {
			"SELECT secret FROM outbox.seals", "SELECT * FROM outbox.seals", "UPDATE outbox.queues SET epoch = 9", "DELETE FROM outbox.dispatches", "INSERT INTO outbox.dispatches DEFAULT VALUES",
			"INSERT INTO outbox.jobs (status) VALUES ('dispatched')", "INSERT INTO outbox.jobs (dispatch_id) VALUES (1)", "DELETE FROM outbox.cancels", "DELETE FROM outbox.processes", "INSERT INTO outbox.attempts DEFAULT VALUES",
			"DELETE FROM outbox.jobs", "DELETE FROM outbox.attempts",
		},
	} {
		side := sidePool(t, devtest.Login(t, w.url, strings.Fields(role)...))
		for _, sql := range slices.Concat(everybody, more) {
			_, err := side.Exec(t.Context(), sql)
			if err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s as %s = %v, want it refused (42501)", sql, role, err)
			}
		}
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.jobs WHERE status = 'queued'"); n != 1 {
		t.Errorf("jobs = %d, want the one untouched", n)
	}
}
