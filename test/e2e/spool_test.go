package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// spoolWorld is a world whose Postgres can be killed, with its server.
func spoolWorld(t *testing.T) (*world, *devstack.Postgres) {
	t.Helper()
	server := devtest.PostgresServer(t, nil)
	devtest.Migrate(t, server.URL("postgres"))
	return newWorld(t, worldOptions{lease: 10 * time.Second, postgres: server}), server
}

// postTo sends one job and returns what came of it: an id, or a spool id, or neither.
func postTo(t *testing.T, base, body string, header ...string) (status int, id int64, spoolID string) {
	t.Helper()
	status, h, text := request(t, http.MethodPost, base+"/v1/jobs", body, header...)
	var d struct {
		ID      int64  `json:"id"`
		Durable *bool  `json:"durable"`
		SpoolID string `json:"spool_id"`
		Code    string `json:"code"`
	}
	decode(t, text, &d)
	switch status {
	case http.StatusCreated:
	case http.StatusAccepted:
		if d.Durable == nil || *d.Durable || d.SpoolID == "" || h.Get("Location") != "/v1/spool/"+d.SpoolID {
			t.Errorf("202 with %s, Location %q", text, h.Get("Location"))
		}
	case http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" || d.Code != "unavailable" || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("503 with Retry-After %q: %s", h.Get("Retry-After"), text)
		}
	default:
		t.Errorf("POST = %d: %s", status, text)
	}
	return status, d.ID, d.SpoolID
}

// spoolUntil posts jobs until n of them were spooled, and returns their spool ids and
// the ids of those that Postgres took.
func spoolUntil(t *testing.T, base string, n int, body string) (spooled []string, inserted []int64) {
	t.Helper()
	devtest.Until(t, patience, fmt.Sprintf("%d spooled jobs", n), func() (bool, error) {
		for {
			switch status, id, spoolID := postTo(t, base, body); status {
			case http.StatusCreated:
				inserted = append(inserted, id)
			case http.StatusAccepted:
				if spooled = append(spooled, spoolID); len(spooled) >= n {
					return true, nil
				}
			default:
				return false, nil
			}
		}
	})
	return spooled, inserted
}

// spoolState asks for a spool id.
func spoolState(t *testing.T, base, id string) (state string, jobs []int64) {
	t.Helper()
	status, text := call(t, http.MethodGet, base+"/v1/spool/"+id, "")
	var d struct {
		State  string  `json:"state"`
		JobIDs []int64 `json:"job_ids"`
		Code   string  `json:"code"`
	}
	if decode(t, text, &d); status != http.StatusOK {
		return d.Code, nil
	}
	return d.State, d.JobIDs
}

// wantInserted waits until every spool id has its jobs, and adds them to the
// committed ones. No two share a job.
func (w *world) wantInserted(base string, spooled []string, each int) {
	w.t.Helper()
	for _, id := range spooled {
		devtest.Until(w.t, patience, "spool id "+id+" to be inserted", func() (bool, error) {
			state, jobs := spoolState(w.t, base, id)
			if state != "inserted" {
				return false, nil
			}
			if len(jobs) != each {
				w.t.Errorf("spool id %s became jobs %v, want %d", id, jobs, each)
			}
			for _, j := range jobs {
				if slices.Contains(w.committed, j) {
					w.t.Errorf("spool id %s became job %d, which is another's", id, j)
				}
			}
			w.committed = append(w.committed, jobs...)
			return true, nil
		})
	}
}

// wantJobs compares the table with what was answered, and wants nothing left in the
// spool but the notes of what was refused.
func (w *world) wantJobs(refused int64) {
	w.t.Helper()
	if n := w.count(`SELECT count(*) FROM outbox.jobs`); n != int64(len(w.committed)) {
		w.t.Errorf("%d jobs in Postgres, want the %d that were promised", n, len(w.committed))
	}
	devtest.Until(w.t, patience, "the spool to be empty", func() (bool, error) {
		entries, err := w.rdb.XLen(w.t.Context(), "rookery:{spool}:jobs").Result()
		if err != nil {
			return false, err
		}
		keys, err := w.rdb.HLen(w.t.Context(), "rookery:{spool}:keys").Result()
		return entries == 0 && keys == refused, err
	})
	if bytes, err := w.rdb.HGet(w.t.Context(), "rookery:{spool}:meta", "bytes").Int64(); err != nil || bytes != 0 {
		w.t.Errorf("an empty spool takes %d bytes, %v, want 0", bytes, err)
	}
}

// Postgres dies, jobs are spooled, the API dies right after the last 202: the next
// one inserts each of them, once, and they run.
func TestSpool_OutlivesPostgresAndTheAPI(t *testing.T) {
	slow(t)
	t.Parallel()
	w, server := spoolWorld(t)
	api, base := w.serve("ROOKERY_SPOOL=true")
	w.post(base, job(`"payload": {}`))
	if err := server.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	spooled, inserted := spoolUntil(t, base, 30, job(`"payload": {"do": "sleep", "ms": 1}`))
	w.committed = append(w.committed, inserted...)
	status, text := call(t, http.MethodGet, base+"/readyz", "")
	devtest.Until(t, patience, "readyz to say spooling", func() (bool, error) {
		status, text = call(t, http.MethodGet, base+"/readyz", "")
		return status == http.StatusOK && strings.Contains(text, `"name":"postgres","state":"degraded","detail":"spooling`), nil
	})
	if state, _ := spoolState(t, base, spooled[0]); state != "waiting" {
		t.Errorf("a spooled request is %s, want waiting", state)
	}
	status, text = call(t, http.MethodPost, base+"/v1/jobs/batch", `{"jobs": [`+job(`"payload": {}`)+`,`+job(`"payload": {}`)+`]}`)
	api.kill()
	var batch struct {
		SpoolID string `json:"spool_id"`
	}
	if decode(t, text, &batch); status != http.StatusAccepted {
		t.Fatalf("POST of a batch = %d: %s", status, text)
	}
	if err := server.Restart(t.Context(), "immediate"); err != nil {
		t.Fatal(err)
	}
	_, base = w.serve("ROOKERY_SPOOL=true")
	w.wantInserted(base, spooled, 1)
	w.wantInserted(base, []string{batch.SpoolID}, 2)
	w.wantJobs(0)
	if state, _ := spoolState(t, base, "00000000-0000-4000-8000-000000000000"); state != "spool_id_unknown" {
		t.Errorf("an id that was never given out is %s", state)
	}
	w.worker(10)
	w.verify(patience, allowance{})
}

// A drainer that is killed between its commit and taking the entries out of Redis,
// and two more at once after it, insert nothing twice. What somebody else has put
// into the stream holds up nobody.
func TestSpool_DrainersDieAndCompete(t *testing.T) {
	slow(t)
	t.Parallel()
	w, server := spoolWorld(t)
	first, base := w.serve("ROOKERY_SPOOL=true", "ROOKERY_FAILPOINT=api.after_drain:2")
	w.post(base, job(`"payload": {}`))
	if err := server.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	spooled, inserted := spoolUntil(t, base, 1, job(`"payload": {}`))
	w.committed = append(w.committed, inserted...)
	for _, odd := range [][]any{
		{"key", "nonsense", "jobs", "hush hush"},
		{"key", "11111111-1111-4111-8111-111111111111", "digest", strings.Repeat("0", 32), "size", "1",
			"seal", "1:AAAAAAAAAAAAAAAAAAAAAA", "jobs", `[{"queue_name":"q","kind":"hush","payload":1,"priority":1,"max_attempts":1}]`},
	} {
		if err := w.rdb.Do(t.Context(), append([]any{"XADD", "rookery:{spool}:jobs", "*"}, odd...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	more, inserted := spoolUntil(t, base, 400, job(`"payload": {}`))
	spooled, w.committed = append(spooled, more...), append(w.committed, inserted...)
	if err := server.Restart(t.Context(), "immediate"); err != nil {
		t.Fatal(err)
	}
	first.waitKilled(patience)
	if n := w.count(`SELECT count(*) FROM outbox.spooled`); n == 0 {
		t.Error("the drainer died before it had committed anything")
	}
	second, base := w.serve("ROOKERY_SPOOL=true")
	third, _ := w.serve("ROOKERY_SPOOL=true")
	w.wantInserted(base, spooled, 1)
	w.wantJobs(2)
	if state, _ := spoolState(t, base, "11111111-1111-4111-8111-111111111111"); state != "refused" {
		t.Errorf("an entry that nobody sealed is %s, want refused", state)
	}
	for _, p := range []*process{first, second, third} {
		if strings.Contains(p.err.String(), "hush") {
			t.Errorf("the log has a payload:\n%s", p.tail())
		}
	}
	w.worker(10)
	w.verify(patience, allowance{})
}

// The connection is cut at the COMMIT, on either side of it. Without a key nobody
// knows, so nothing is spooled; with one the copy finds out.
func TestSpool_CutAtTheCommit(t *testing.T) {
	slow(t)
	t.Parallel()
	for _, c := range []struct {
		name       string
		after, key bool
		status     int
		jobs       int64 // in the end
	}{
		{"before, without a key", false, false, 503, 0},
		{"after, without a key", true, false, 503, 1},
		{"before, with a key", false, true, 202, 1},
		{"after, with a key", true, true, 202, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{})
			line, through := newStrand(t, w.url)
			_, base := w.serve("ROOKERY_SPOOL=true", "DATABASE_URL="+through)
			w.post(base, job(`"kind": "warm"`), "Idempotency-Key", "warm")
			line.cutAt("cut-me", c.after)
			var header []string
			if c.key {
				header = []string{"Idempotency-Key", "cut"}
			}
			status, _, spoolID := postTo(t, base, job(`"kind": "cut-me"`), header...)
			if status != c.status || line.wasCut() != 1 {
				t.Errorf("POST = %d with %d cuts, want %d with 1", status, line.wasCut(), c.status)
			}
			const cut = `SELECT count(*) FROM outbox.jobs WHERE kind = 'cut-me'`
			if c.after {
				if n := w.count(cut); n != 1 {
					t.Fatalf("%d jobs when the connection was cut, want the committed one", n)
				}
			}
			if c.key {
				w.wantInserted(base, []string{spoolID}, 1)
				devtest.Until(t, patience, "Postgres to be asked again", func() (bool, error) {
					status, _, _ := postTo(t, base, job(`"kind": "cut-me"`), header...)
					return status == http.StatusCreated, nil
				})
			}
			devtest.Until(t, patience, "the spool to be empty", func() (bool, error) {
				n, err := w.rdb.XLen(t.Context(), "rookery:{spool}:jobs").Result()
				return n == 0, err
			})
			if n := w.count(cut); n != c.jobs {
				t.Errorf("%d jobs in the end, want %d", n, c.jobs)
			}
		})
	}
}

// However Postgres is away, a request is answered in time: without a spool by 503,
// with one by 202 as soon as it is certain that Postgres does not have the job.
func TestSpool_EveryWayToBeAway(t *testing.T) {
	slow(t)
	t.Parallel()
	for _, env := range []string{"ROOKERY_SPOOL=false", "ROOKERY_SPOOL=true"} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			spools := strings.HasSuffix(env, "true")
			w := newWorld(t, worldOptions{})
			line, through := newStrand(t, w.url)
			_, base := w.serve(env, "DATABASE_URL="+through)
			w.post(base, job(`"payload": {}`))
			back := func() {
				t.Helper()
				devtest.Until(t, patience, "Postgres to be used again", func() (bool, error) {
					status, _, _ := postTo(t, base, job(`"payload": {}`))
					return status == http.StatusCreated, nil
				})
			}
			for name, away := range map[string]func(on bool){"refusing": line.refuse, "hanging": line.freeze} {
				away(true)
				began := time.Now()
				devtest.Until(t, patience, name, func() (bool, error) {
					status, _, _ := postTo(t, base, job(`"payload": {}`)) // the client gives up after 30 s
					return status == http.StatusServiceUnavailable && !spools || status == http.StatusAccepted, nil
				})
				t.Logf("%s: answered after %s", name, time.Since(began).Round(time.Millisecond))
				want := http.StatusServiceUnavailable
				if spools {
					want = http.StatusOK
				}
				devtest.Until(t, patience, "readyz to say so", func() (bool, error) {
					status, text := call(t, http.MethodGet, base+"/readyz", "")
					return status == want && strings.Contains(text, `"name":"postgres","state":"d`), nil
				})
				away(false)
				back()
			}
			seen := map[int]int{}
			for range 100 {
				w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
				status, _, _ := postTo(t, base, job(`"payload": {}`))
				seen[status]++
			}
			t.Logf("terminating: %v", seen)
			back()
		})
	}
}

// A spool that is full, or whose Redis is away too, says 503 and keeps nothing.
func TestSpool_FullOrAwayToo(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	line, through := newStrand(t, w.url)
	p := w.rookery("serve --http 127.0.0.1:0 --spool --spool-entries 3", "DATABASE_URL="+through)
	p.says(patience, "rookery: listening on ")
	_, rest, _ := strings.Cut(p.err.String(), "rookery: listening on ")
	base := strings.Fields(rest)[0]
	w.post(base, job(`"payload": {}`))
	line.refuse(true)
	spooled, inserted := spoolUntil(t, base, 3, job(`"payload": {}`))
	if len(inserted) > 0 {
		t.Errorf("%d jobs inserted through a refusing server", len(inserted))
	}
	for range 3 {
		if status, _, _ := postTo(t, base, job(`"payload": {}`)); status != http.StatusServiceUnavailable {
			t.Errorf("POST into a full spool = %d, want 503", status)
		}
	}
	devtest.Until(t, patience, "readyz to say that it is full", func() (bool, error) {
		status, _ := call(t, http.MethodGet, base+"/readyz", "")
		return status == http.StatusServiceUnavailable, nil
	})
	for _, want := range []string{"rookery_spool_spooled_jobs_total 3", `rookery_spool_refused_requests_total{reason="full"} `, "rookery_spool_waiting_entries 3"} {
		devtest.Until(t, patience, "metric "+want, func() (bool, error) {
			return strings.Contains(get(t, base+"/metrics"), want), nil
		})
	}
	line.refuse(false)
	w.wantInserted(base, spooled, 1)
	if n := w.count(`SELECT count(*) FROM outbox.jobs`); n != 4 {
		t.Errorf("%d jobs, want 4", n)
	}
	line.refuse(true)
	if err := w.redis.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if status, _, _ := postTo(t, base, job(`"payload": {}`)); status != http.StatusServiceUnavailable {
			t.Errorf("POST without Postgres and Redis = %d, want 503", status)
		}
	}
}
