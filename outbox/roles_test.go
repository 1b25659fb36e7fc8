package outbox_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

func TestProducer_CanInsert(t *testing.T) {
	t.Parallel()
	base := devtest.Postgres(t)
	url := login(t, base, "rookery_producer")
	conn, db := connect(t, url), open(t, url)
	if _, err := outbox.Insert(t.Context(), conn, mail{}, outbox.Options{QueueName: "q", Priority: new(1), Delay: time.Hour, MaxAttempts: 2, Headers: map[string]string{"a": "b"}}); err != nil {
		t.Errorf("Insert: %v", err)
	}
	if _, err := outbox.InsertSQL(t.Context(), db, mail{}, outbox.Options{}); err != nil {
		t.Errorf("InsertSQL: %v", err)
	}
	if _, err := outbox.InsertMany(t.Context(), conn, []outbox.Item{{Args: mail{}}, {Args: mail{}, Options: outbox.Options{Delay: 1}}}); err != nil {
		t.Errorf("InsertMany: %v", err)
	}
	if _, err := outbox.InsertManySQL(t.Context(), db, []outbox.Item{{Args: mail{}}}); err != nil {
		t.Errorf("InsertManySQL: %v", err)
	}
	if _, err := outbox.InsertSpecs(t.Context(), conn, []job.Spec{{}}); err != nil {
		t.Errorf("InsertSpecs: %v", err)
	}
	for _, query := range []string{
		`INSERT INTO outbox.jobs (queue_name, payload) VALUES ('a', '{}'), ('b', '{}')`,
		`INSERT INTO outbox.jobs DEFAULT VALUES RETURNING id`,
		`SELECT outbox.enqueue('k')`,
		`SELECT outbox.enqueue_many('[{"kind": "k"}]')`,
	} {
		mustExec(t, conn, query)
	}
	wantOne(t, connect(t, base), 11, "SELECT count(*)::int4 FROM outbox.jobs JOIN (SELECT job_id FROM outbox.ready UNION ALL SELECT job_id FROM outbox.scheduled) AS filed ON job_id = id")
	_, err := outbox.Cancel(t.Context(), conn, 1)
	if state(err) != "42501" || errors.Is(err, job.ErrNotFound) {
		t.Errorf("Cancel() = %v, want 42501", err)
	}
}

func TestProducer_CanDoNothingElse(t *testing.T) {
	t.Parallel()
	base := devtest.Postgres(t)
	conn := connect(t, login(t, base, "rookery_producer"))
	mustExec(t, conn, `INSERT INTO outbox.jobs (payload) VALUES ('{"secret": 1}')`)
	for _, query := range []string{
		`INSERT INTO outbox.jobs (status) VALUES ('dispatched')`,
		`INSERT INTO outbox.jobs (id) OVERRIDING SYSTEM VALUE VALUES (5)`,
		`INSERT INTO outbox.jobs (dispatch_id) VALUES (5)`,
		`INSERT INTO outbox.jobs (created_at) VALUES (now())`,
		`INSERT INTO outbox.jobs (attempt_count) VALUES (0)`,
		`INSERT INTO outbox.jobs (payload) VALUES ('{}') RETURNING payload`,
		`INSERT INTO outbox.jobs (payload) VALUES ('{}') RETURNING *`,
		`INSERT INTO outbox.jobs DEFAULT VALUES ON CONFLICT (id) DO UPDATE SET payload = '{}'`,
		`COPY outbox.jobs (status) FROM STDIN`,
		`COPY outbox.jobs TO STDOUT`,
		`SELECT payload FROM outbox.jobs`,
		`SELECT status FROM outbox.jobs`,
		`SELECT id FROM outbox.jobs WHERE payload ->> 'secret' = '1'`,
		`SELECT id FROM outbox.jobs ORDER BY payload`,
		`SELECT j FROM outbox.jobs AS j`,
		`SELECT ctid FROM outbox.jobs`,
		`SELECT id FROM outbox.jobs FOR UPDATE`,
		`UPDATE outbox.jobs SET status = 'completed'`,
		`UPDATE outbox.jobs SET priority = 0`,
		`DELETE FROM outbox.jobs`,
		`TRUNCATE outbox.jobs`,
		`DO 'BEGIN LOCK TABLE outbox.jobs IN ACCESS EXCLUSIVE MODE; END'`,
		`DO 'BEGIN LOCK TABLE outbox.jobs IN SHARE MODE; END'`,
		`INSERT INTO outbox.ready VALUES ('q', 0, 1, 1)`,
		`INSERT INTO outbox.scheduled VALUES (now(), 1, 'q', 0, 1)`,
		`INSERT INTO outbox.cancels VALUES (1, 1, 'q')`,
		`DELETE FROM outbox.ready`,
		`SELECT * FROM outbox.ready`,
		`SELECT * FROM outbox.queues`,
		`SELECT * FROM outbox.attempts`,
		`SELECT outbox.cancel(1)`,
		`SELECT outbox.redrive(1)`,
		`SELECT outbox.wake()`,
		`SELECT nextval('outbox.jobs_id_seq')`,
		`SELECT setval('outbox.jobs_id_seq', 1)`,
		`SELECT last_value FROM outbox.jobs_id_seq`,
		`CREATE FUNCTION outbox.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'`,
		`CREATE OR REPLACE FUNCTION outbox.wake() RETURNS boolean LANGUAGE sql AS 'SELECT true'`,
		`CREATE FUNCTION pg_catalog.shadow() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		`CREATE TABLE outbox.mine ()`,
		`CREATE TRIGGER mine AFTER INSERT ON outbox.jobs EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
		`CREATE RULE mine AS ON INSERT TO outbox.jobs DO INSTEAD NOTHING`,
		`CREATE TABLE pg_temp.child (r int REFERENCES outbox.jobs)`,
		`CREATE TEMP TABLE child () INHERITS (outbox.jobs)`,
		`ALTER TABLE outbox.jobs DISABLE TRIGGER ALL`,
		`SET session_replication_role = replica`,
		`SET ROLE rookery_server`,
		`DROP SCHEMA outbox CASCADE`,
	} {
		// Some of these fail before rights are asked for, which is as good.
		if _, err := conn.Exec(t.Context(), query); err == nil {
			t.Errorf("%s: allowed", query)
		} else if s := state(err); s != "42501" && s != "42P16" && s != "42809" && s != "428C9" && s != "57014" {
			t.Errorf("%s: %v, want 42501", query, err)
		}
	}
	wantOne(t, connect(t, base), 1, "SELECT count(*)::int4 FROM outbox.jobs")
}

// A producer that may make tables and functions of its own tries to have them used
// by what runs with the owner's rights: the trigger and wake().
func TestProducer_CannotShadow(t *testing.T) {
	t.Parallel()
	base := devtest.Postgres(t)
	url := login(t, base, "rookery_producer")
	owner := connect(t, base)
	user := one[string](t, connect(t, url), "SELECT current_user")
	mustExec(t, owner, "CREATE SCHEMA evil AUTHORIZATION "+pgx.Identifier{user}.Sanitize())
	// What the tricks report if one works: who ran them.
	mustExec(t, owner, "CREATE TABLE public.caught (who text); GRANT INSERT ON public.caught TO PUBLIC")
	conn := connect(t, url)
	for _, query := range []string{
		`CREATE FUNCTION evil.report() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN true; END $$`,
		`CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN 'epoch'::timestamptz; END $$`,
		`CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); END $$`,
		`CREATE FUNCTION evil.pg_try_advisory_lock_shared(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN evil.report(); END $$`,
		`CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN 'off'; END $$`,
		`CREATE FUNCTION evil.pg_advisory_unlock_shared(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN evil.report(); END $$`,
		`CREATE FUNCTION evil.pg_logical_emit_message(boolean, text, text) RETURNS pg_lsn LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN '0/0'; END $$`,
		`CREATE FUNCTION evil.octet_length(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN 1; END $$`,
		`CREATE FUNCTION evil.min(timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN 'epoch'::timestamptz; END $$`,
		`CREATE FUNCTION evil.jsonb_typeof(jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN 'object'; END $$`,
		`CREATE FUNCTION evil.size_of(jsonb, jsonb) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN 1; END $$`,
		`CREATE FUNCTION evil.wake() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN evil.report(); END $$`,
		`CREATE FUNCTION evil.later(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN evil.report(); END $$`,
		`CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later)`,
		`CREATE OPERATOR evil.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later)`,
		`CREATE FUNCTION evil.more(bigint, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN evil.report(); END $$`,
		`CREATE OPERATOR evil.> (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = evil.more)`,
		`CREATE FUNCTION evil.plus(timestamptz, interval) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN $1; END $$`,
		`CREATE OPERATOR evil.+ (LEFTARG = timestamptz, RIGHTARG = interval, FUNCTION = evil.plus)`,
		`CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN evil.report(); END $$`,
		`CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same)`,
		`CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same)`,
		`CREATE FUNCTION evil.less(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN evil.report(); END $$`,
		`CREATE OPERATOR evil.< (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.less)`,
		`CREATE OPERATOR evil.<= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.less)`,
		`CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = evil.more)`,
		`CREATE FUNCTION evil.sum(integer, integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN 1; END $$`,
		`CREATE OPERATOR evil.+ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.sum)`,
		`CREATE TABLE evil.ready (queue_name text, priority smallint, job_id bigint, size integer)`,
		`CREATE TABLE evil.new_jobs (queue_name text, priority smallint, id bigint, size integer, status text, run_at timestamptz)`,
		`INSERT INTO evil.new_jobs VALUES ('forged', 0, 1, 1, 'queued', 'epoch')`,
		`CREATE TEMP TABLE new_jobs (queue_name text, priority smallint, id bigint, size integer, status text, run_at timestamptz)`,
		`INSERT INTO pg_temp.new_jobs VALUES ('forged', 0, 1, 1, 'queued', 'epoch')`,
		`CREATE TEMP TABLE ready (queue_name text, priority smallint, job_id bigint, size integer)`,
		`CREATE TEMP TABLE jobs (id bigint)`,
		`CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); RETURN 'epoch'::timestamptz; END $$`,
		`CREATE FUNCTION pg_temp.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.report(); END $$`,
		`CREATE DOMAIN evil.byte_size AS integer CHECK (evil.report())`,
		`CREATE DOMAIN evil.timestamptz AS pg_catalog.timestamptz CHECK (evil.report())`,
		`CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.report())`, // the last: those above say text
		`SET search_path = pg_temp, evil, outbox, pg_catalog`,
		`INSERT INTO outbox.jobs (queue_name, run_at) VALUES ('honest', 'epoch'), ('honest', '2099-01-01'), ('honest', '2099-01-02')`,
		`INSERT INTO outbox.jobs (queue_name, run_at, headers) VALUES ('honest', pg_catalog.now() OPERATOR(pg_catalog.+) interval '1 second', '{"a": "b"}')`,
		`SELECT outbox.enqueue('k', queue_name => 'honest', run_at => '2000-01-01')`,
		`SELECT outbox.enqueue_many('[{"queue_name": "honest"}, {"queue_name": "honest", "run_at": "2099-01-01"}]')`,
	} {
		mustExec(t, conn, query)
	}
	wantOne(t, owner, 3, "SELECT count(*)::int4 FROM outbox.ready WHERE queue_name = 'honest'")
	wantOne(t, owner, 4, "SELECT count(*)::int4 FROM outbox.scheduled WHERE queue_name = 'honest'")
	wantOne(t, owner, 0, "SELECT count(*)::int4 FROM outbox.ready NATURAL FULL JOIN outbox.scheduled WHERE size < 2")
	// A relay may say the status, too.
	mustExec(t, owner, `SET search_path = evil, pg_catalog; INSERT INTO outbox.jobs (status) VALUES ('completed'); RESET search_path`)
	wantOne(t, owner, 0, "SELECT count(*)::int4 FROM public.caught WHERE who <> $1", user)
	// Nor do the limits say what a producer's functions say.
	for _, query := range []string{
		`INSERT INTO outbox.jobs (payload) VALUES (pg_catalog.to_jsonb(pg_catalog.repeat('x', 262143)))`,
		`INSERT INTO outbox.jobs (headers) VALUES (pg_catalog.jsonb_build_object('a', pg_catalog.repeat('x', 8192)))`,
		`INSERT INTO outbox.jobs (headers) VALUES ('1')`,
	} {
		if _, err := conn.Exec(t.Context(), query); state(err) != "23514" {
			t.Errorf("%s: %v, want 23514", query, err)
		}
	}
	wantOne(t, owner, 0, "SELECT count(*)::int4 FROM outbox.ready WHERE queue_name = 'forged'")
	wantOne(t, owner, 0, "SELECT count(*)::int4 FROM public.caught WHERE who <> $1", user)
	// The trigger function is not to be had for a table of one's own.
	_, err := conn.Exec(t.Context(), `CREATE TRIGGER mine AFTER INSERT ON evil.new_jobs REFERENCING NEW TABLE AS new_jobs
		FOR EACH STATEMENT EXECUTE FUNCTION outbox.jobs_inserted()`)
	if state(err) != "42501" {
		t.Errorf("CREATE TRIGGER with the owner's function: %v, want 42501", err)
	}
	// Nor are the owner's rights, by a cast or a domain of one's own.
	mustExec(t, conn, `CREATE DOMAIN evil.name AS text CHECK (evil.report())`)
	mustExec(t, conn, `INSERT INTO outbox.jobs (queue_name) VALUES ('honest'::evil.name)`)
	wantOne(t, owner, 0, "SELECT count(*)::int4 FROM public.caught WHERE who <> $1", user)
}

func TestReadonly_SeesAllButPayloads(t *testing.T) {
	t.Parallel()
	base := devtest.Postgres(t)
	conn := connect(t, login(t, base, "rookery_readonly"))
	mustExec(t, conn, "SELECT id, status, kind, last_error FROM outbox.jobs")
	for _, table := range []string{"ready", "scheduled", "dispatches", "queues", "processes", "cancels", "attempts", "dead_letters"} {
		mustExec(t, conn, "SELECT * FROM outbox."+table)
	}
	for _, query := range []string{
		"SELECT payload FROM outbox.jobs", "SELECT headers FROM outbox.jobs", "INSERT INTO outbox.jobs DEFAULT VALUES",
		"SELECT outbox.enqueue()", "SELECT outbox.cancel(1)", "SELECT outbox.wake()", "UPDATE outbox.queues SET paused = true", "DELETE FROM outbox.attempts",
	} {
		if _, err := conn.Exec(t.Context(), query); state(err) != "42501" {
			t.Errorf("%s: %v, want 42501", query, err)
		}
	}
}

func TestServer_CanCancelAndRedrive(t *testing.T) {
	t.Parallel()
	conn := connect(t, login(t, devtest.Postgres(t), "rookery_server"))
	id, err := outbox.Insert(t.Context(), conn, mail{}, outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := outbox.Cancel(t.Context(), conn, id); !ok || err != nil {
		t.Errorf("Cancel() = %v, %v, want true", ok, err)
	}
	if ok, err := outbox.Redrive(t.Context(), conn, id); !ok || err != nil {
		t.Errorf("Redrive() = %v, %v, want true", ok, err)
	}
	if _, err := conn.Exec(t.Context(), "DROP TABLE outbox.jobs"); state(err) != "42501" {
		t.Errorf("DROP TABLE: %v, want 42501", err)
	}
}
