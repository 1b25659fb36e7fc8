package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// A server dies in the middle of an operation, before a batch's commit or after it, and
// another one goes on: no job is changed twice, none is forgotten, none that came later
// is touched.
func TestOperation_ItsServerIsKilled(t *testing.T) {
	slow(t)
	for _, point := range []string{"api.found_batch", "api.in_batch", "api.after_batch"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			const many = 2300
			w := newWorld(t, worldOptions{})
			w.exec(`INSERT INTO outbox.queues (name, paused) VALUES ($1, true)`, queue)
			w.insert(many, `{}`)
			// Who changes a job's status leaves a line.
			w.exec(`CREATE TABLE changes (job_id bigint, status text)`)
			w.exec(`GRANT INSERT ON changes TO PUBLIC`)
			w.exec(`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.changes VALUES (NEW.id, NEW.status); RETURN NULL; END'`)
			w.exec(`CREATE TRIGGER note AFTER UPDATE OF status ON outbox.jobs FOR EACH ROW EXECUTE FUNCTION note()`)

			doomed, base := w.serve("ROOKERY_FAILPOINT=" + point + ":3")
			status, body := call(t, http.MethodPost, base+"/v1/jobs/bulk", `{"action":"cancel","filter":{"queue_name":"`+queue+`"}}`)
			if status != http.StatusAccepted {
				t.Fatalf("bulk = %d %s", status, body)
			}
			doomed.waitKilled(patience)
			later := w.insert(20, `{}`)
			if n := w.count(`SELECT count(*) FROM changes`); n == 0 || n >= many {
				t.Errorf("%d jobs were changed when it died: it proves nothing", n)
			}
			_, base = w.serve()
			var o struct {
				ID                    int64
				Status                string
				Matched, Done, Failed int64
			}
			devtest.Until(t, patience, "the operation to end", func() (bool, error) {
				var list struct{ Data []json.RawMessage }
				err := json.Unmarshal([]byte(get(t, base+"/v1/operations")), &list)
				if err != nil || len(list.Data) != 1 {
					return false, err
				}
				return o.Status == "completed", json.Unmarshal(list.Data[0], &o)
			})
			if o.Matched != many || o.Done != many || o.Failed != 0 {
				t.Errorf("operation = %+v, want %d done", o, many)
			}
			if n := w.count(`SELECT count(*) FROM (SELECT job_id FROM changes GROUP BY job_id HAVING count(*) = 1 AND max(status) = 'cancelled') AS once`); n != many {
				t.Errorf("%d jobs were cancelled once, want %d", n, many)
			}
			if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE id = ANY ($1) AND status = 'queued'`, later); n != int64(len(later)) {
				t.Errorf("%d of %d later jobs are as they were", n, len(later))
			}
			if n := w.count(`SELECT count(*) FROM outbox.ready WHERE job_id <> ALL ($1)`, later); n != 0 {
				t.Errorf("%d cancelled jobs stand in ready", n)
			}
		})
	}
}

// A purge takes what waits in Redis too, and a redrive brings it back.
func TestPurge_TakesWhatWaitsInRedis(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	_, base := w.serve()
	ids := w.insert(50, `{}`)
	w.untilStatus(patience, "dispatched", ids)
	status, body := call(t, http.MethodPost, base+"/v1/queues/"+queue+"/purge", `{"confirm":"`+queue+`"}`)
	if status != http.StatusAccepted {
		t.Fatalf("purge = %d %s", status, body)
	}
	w.untilStatus(patience, "cancelled", ids)
	w.until(patience, "a relay to tell Redis", `SELECT NOT EXISTS (SELECT FROM outbox.cancels)`)
	w.worker(10)
	after := w.insert(5, `{}`)
	w.untilStatus(patience, "completed", after)
	if runs := w.rest(patience).runsOf(ids); len(runs) > 0 {
		t.Errorf("%d purged jobs have run", len(runs))
	}
	status, body = call(t, http.MethodPost, base+"/v1/jobs/bulk", `{"action":"redrive","filter":{"status":"cancelled"}}`)
	if status != http.StatusAccepted || !strings.Contains(body, `"running"`) {
		t.Fatalf("redrive = %d %s", status, body)
	}
	w.untilStatus(patience, "completed", ids)
	w.verify(patience, allowance{})
}
