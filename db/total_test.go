package db_test

import (
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// An operation begins whatever becomes of the count that is to give its total: it has none
// then. Its audit's line is not written in the count's haste.
func TestStartOperation_CountThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	for name, hinder := range map[string]func(w *world) (free func()){
		"what it reads is locked": func(w *world) func() {
			tx := w.begun()
			w.in(tx, "LOCK TABLE outbox.dead_letters IN ACCESS EXCLUSIVE MODE")
			return func() { w.in(tx, "ROLLBACK") }
		},
		"its statement is slow": func(w *world) func() {
			w.LimitCalls(8 * time.Second) // less than a statement may take elsewhere
			w.exec("ALTER TABLE outbox.dead_letters RENAME TO hidden")
			w.exec("CREATE VIEW outbox.dead_letters AS SELECT d.* FROM outbox.hidden AS d CROSS JOIN pg_sleep(60)")
			return func() {
				w.exec("DROP VIEW outbox.dead_letters")
				w.exec("ALTER TABLE outbox.hidden RENAME TO dead_letters")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dead := func(n int) {
				w.exec(`WITH dead AS (UPDATE outbox.jobs SET status = 'dead', finished_at = now() WHERE id = ANY ($1) RETURNING id)
					INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) SELECT id, $2, 'test', 'exhausted' FROM dead`, w.insert(n), queue)
				w.exec("DELETE FROM outbox.ready")
			}
			dead(3)
			w.exec(`CREATE FUNCTION patient() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
				IF current_setting('statement_timeout')::interval < '10s' THEN
					RAISE 'the line is written with a statement_timeout of %', current_setting('statement_timeout');
				END IF;
				RETURN NEW;
			END$$`)
			w.exec("CREATE TRIGGER patient BEFORE INSERT ON outbox.audit FOR EACH ROW EXECUTE FUNCTION patient()")
			free := hinder(w)
			l := job.Listing{Status: string(job.Dead)}
			o := w.begins(job.ActionRedrive, l, "one")
			if o.Total != nil {
				t.Errorf("it begins with a total of %d, want none", *o.Total)
			}
			free()
			if n := get[int](w, "SELECT count(*) FROM outbox.audit WHERE action = 'operation.start'"); n != 1 {
				t.Errorf("the audit has %d lines of it, want 1", n)
			}
			if o = w.works(o.ID, "one"); o.Status != job.OperationCompleted || o.Done != 3 {
				t.Errorf("it ends %s, with %d done, want completed and 3", o.Status, o.Done)
			}
			dead(2) // and the next one counts again
			if o = w.begins(job.ActionRedrive, l, "one"); o.Total == nil || *o.Total != 2 {
				t.Errorf("the next one begins with a total of %v, want 2", o.Total)
			}
		})
	}
}
