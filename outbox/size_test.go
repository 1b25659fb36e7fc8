package outbox_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/outbox"
)

// What is too large is refused whatever the job's status and moment, by an INSERT of one
// or among others, and by an UPDATE; the refusal names the limit.
func TestSize_RefusedWhereverItComesFrom(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	mustExec(t, conn, "INSERT INTO outbox.jobs DEFAULT VALUES")
	const fits, over = "to_jsonb(repeat('x', 262142))", "to_jsonb(repeat('x', 262143))"
	for _, test := range []struct{ name, before, after string }{
		{"due", "INSERT INTO outbox.jobs (payload) VALUES (", ")"},
		{"past", "INSERT INTO outbox.jobs (run_at, payload) VALUES ('epoch', ", ")"},
		{"scheduled", "INSERT INTO outbox.jobs (run_at, payload) VALUES (now() + interval '1 hour', ", ")"},
		{"dispatched", "INSERT INTO outbox.jobs (status, payload) VALUES ('dispatched', ", ")"},
		{"completed", "INSERT INTO outbox.jobs (status, run_at, payload) VALUES ('completed', now() + interval '1 hour', ", ")"},
		{"last of three", "INSERT INTO outbox.jobs (status, run_at, payload) VALUES ('queued', now(), '1'), ('queued', now() + interval '1 hour', '2'), ('completed', now(), ", ")"},
		{"first of three", "INSERT INTO outbox.jobs (run_at, payload) SELECT now() + n * interval '1 hour', CASE n WHEN -1 THEN ", " ELSE '1' END FROM generate_series(-1, 1) AS n"},
		{"update", "UPDATE outbox.jobs SET payload = ", ""},
	} {
		mustExec(t, conn, "BEGIN")
		if _, err := conn.Exec(t.Context(), test.before+fits+test.after); err != nil {
			t.Errorf("%s, as large as may be: %v", test.name, err)
		}
		mustExec(t, conn, "ROLLBACK")
		_, err := conn.Exec(t.Context(), test.before+over+test.after)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "23514" || pg.SchemaName != "outbox" || pg.ConstraintName != "jobs_payload_has_at_most_262144_bytes" {
			t.Errorf("%s, a byte larger: %v, want 23514 of jobs_payload_has_at_most_262144_bytes", test.name, err)
		}
	}
	// Headers count with the payload, and have a limit of their own.
	for _, query := range []string{
		"INSERT INTO outbox.jobs (payload, headers) VALUES (to_jsonb(repeat('x', 262135)), '{\"a\": 1}')",
		"UPDATE outbox.jobs SET payload = to_jsonb(repeat('x', 262135)), headers = '{\"a\": 1}'",
		"INSERT INTO outbox.jobs (headers) VALUES ('[]')",
		"UPDATE outbox.jobs SET headers = jsonb_build_object('a', repeat('x', 8192))",
	} {
		if _, err := conn.Exec(t.Context(), query); state(err) != "23514" {
			t.Errorf("%s: %v, want 23514", query, err)
		}
	}
	wantOne(t, conn, 1, "SELECT count(*)::int4 FROM outbox.jobs")
}

// Each row of the narrow tables has the bytes of its own job.
func TestSize_OfEachJob(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	mustExec(t, conn, `INSERT INTO outbox.jobs (run_at, payload, headers)
		SELECT now() + (n % 3 - 1) * interval '1 hour', to_jsonb(repeat('é', n)), CASE WHEN n % 2 = 0 THEN jsonb_build_object('n', n) END
		FROM generate_series(1, 30) AS n`)
	wantOne(t, conn, 30, `SELECT count(*)::int4
		FROM outbox.jobs AS j
		JOIN (SELECT job_id, size FROM outbox.ready UNION ALL SELECT job_id, size FROM outbox.scheduled) AS filed
			ON filed.job_id = j.id AND filed.size = octet_length(j.payload::text) + coalesce(octet_length(j.headers::text), 0)`)
	id, err := outbox.Insert(t.Context(), conn, mail{}, outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"SELECT outbox.cancel($1)", "SELECT outbox.redrive($1)"} {
		mustExec(t, conn, change, id)
	}
	wantOne(t, conn, true, "SELECT r.size = octet_length(j.payload::text) FROM outbox.ready AS r JOIN outbox.jobs AS j ON j.id = r.job_id WHERE j.id = $1", id)
}
