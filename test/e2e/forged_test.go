package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	words "github.com/penguinmails/rookery/job"
)

const waitingList = "queue:{" + queue + "}"

// secret stands in the payloads of forged entries, to be looked for in logs.
const secret = "hunter2-of-the-payload"

// handmade is an envelope as a relay would write it, but for the seal.
func handmade(t *testing.T, id, dispatchID int64, do string) string {
	t.Helper()
	now := time.Now()
	e := words.Envelope{
		ID: id, DispatchID: dispatchID, AttemptCount: 1, QueueName: queue, Kind: "", Priority: 100, MaxAttempts: 25,
		CreatedAt: now, RunAt: now, DispatchedAt: now, Payload: json.RawMessage(fmt.Sprintf(`{"do":%q,"secret":%q}`, do, secret)),
	}
	text, err := e.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What somebody puts into a queue's list by hand is not run, changes nothing in
// Postgres, is counted, and its payload is not logged; what a relay put there goes on.
func TestForged_EntriesAreNotRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	p := w.worker(5)
	w.untilStatus(patience, "completed", w.insert(3, `{}`))
	later := w.ids(`INSERT INTO outbox.jobs (queue_name, run_at) VALUES ($1, '2999-01-01') RETURNING id`, queue)[0]
	forged := []string{
		handmade(t, later, 4711, "sleep"), // a job there is, which is not due
		handmade(t, 1, 4712, "sleep"),     // one that is over
		handmade(t, 1<<40, 4713, "sleep"), // one nobody inserted
		strings.TrimSuffix(handmade(t, 1<<41, 4714, "sleep"), "}") + `,"key":1,"mac":"AAAAAAAAAAAAAAAAAAAAAA"}`,
		`{"id":5,"dispatch_id":6}`,
		"garbage",
	}
	for _, text := range forged {
		for _, list := range []string{"", ":high", ":low"} {
			if err := w.rdb.LPush(t.Context(), waitingList+list, text).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.rdb.LPush(t.Context(), waitingList+":bell", "1").Err(); err != nil {
			t.Fatal(err)
		}
	}
	// The three lists may be emptied by one take, in which copies of one attempt are
	// dropped after the first: at least one of each is counted.
	devtest.Until(t, patience, "forged entries to be counted", func() (bool, error) {
		left, err := w.counts(t.Context())
		return err == nil && left["list"]+left["list:high"]+left["list:low"]+left[":leases"] == 0 &&
			p.metric("rookery_worker_forged_total", queue) >= float64(len(forged)), err
	})
	w.untilStatus(patience, "completed", w.insert(20, `{}`))
	runs, err := readHistory(w.history)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if !slices.Contains(w.committed, r.id) {
			t.Errorf("job %d of dispatch %d ran, want it refused", r.id, r.dispatch)
		}
	}
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE id = $1 AND status = 'queued' AND attempt_count = 0`, later); n != 1 {
		t.Error("the scheduled job was touched")
	}
	if n := p.metric("rookery_worker_attempts_total", "stale"); n != 0 {
		t.Errorf("outcomes that Postgres refused = %v, want none sent", n)
	}
	if said := p.err.String(); !strings.Contains(said, "level=ERROR") || strings.Contains(said, secret) {
		t.Errorf("the worker said %q, want an error without the payload", p.tail())
	}
	w.exec(`SELECT outbox.cancel($1)`, later)
	f := w.rest(30 * time.Second)
	problems, _ := check(f, allowance{status: map[int64]string{later: "cancelled"}})
	for _, p := range problems {
		t.Error(p)
	}
}

// A copy that was kept and is put back while its epoch lasts is genuine. It runs once
// more; Postgres refuses what comes of it. In the next epoch it is forged.
func TestForged_AReplayedCopyChangesNothing(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	id := w.insert(1, `{}`)[0]
	var kept string
	devtest.Until(t, patience, "the job to be in Redis", func() (bool, error) {
		texts, err := w.rdb.LRange(t.Context(), waitingList, 0, -1).Result()
		if len(texts) > 0 {
			kept = texts[0]
		}
		return kept != "", err
	})
	if !strings.Contains(kept, `"mac":"`) {
		t.Fatalf("the relay pushed %s, want it sealed", kept)
	}
	p := w.worker(5)
	w.untilStatus(patience, "completed", []int64{id})
	w.rest(30 * time.Second) // its lease is acked
	replay := func() {
		t.Helper()
		for _, add := range [][2]string{{waitingList, kept}, {waitingList + ":bell", "1"}} {
			if err := w.rdb.LPush(t.Context(), add[0], add[1]).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	row := `SELECT attempt_count * 1000000 + extract(epoch FROM finished_at)::bigint FROM outbox.jobs WHERE id = $1 AND status = 'completed'`
	before := w.count(row, id)
	replay()
	devtest.Until(t, patience, "the outcome of the replayed copy to be refused", func() (bool, error) {
		return p.metric("rookery_worker_attempts_total", `outcome="stale"`) == 1, nil
	})
	f := w.rest(30 * time.Second)
	if n := len(f.runsOf([]int64{id})); n != 2 {
		t.Errorf("the job ran %d times, want 2: once, and once for the copy", n)
	}
	if after := w.count(row, id); after != before {
		t.Errorf("the row was changed: %d, want %d", after, before)
	}
	w.flush() // another epoch
	w.untilStatus(patience, "completed", w.insert(1, `{}`))
	replay()
	devtest.Until(t, patience, "the copy to be counted as forged", func() (bool, error) {
		return p.metric("rookery_worker_forged_total", queue) == 1, nil
	})
	f = w.rest(30 * time.Second)
	if n := len(f.runsOf([]int64{id})); n != 2 {
		t.Errorf("the job ran %d times after the replay in another epoch, want 2", n)
	}
}

// Keys are changed under load: nothing is refused, nothing is lost, and a key that is
// retired in due time leaves nothing behind.
func TestForged_KeysAreRotatedUnderLoad(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	p := w.worker(10)
	load := produce(t, w.inserts, 2, 20*time.Millisecond, `{}`)
	old := w.count(`SELECT id FROM outbox.seals`)
	fresh := strings.TrimSpace(w.mustCLI("seals", "rotate"))
	if code, _, said := w.cli("seals", "retire", fmt.Sprint(old)); code != 1 || !strings.Contains(said, "seal key") {
		t.Errorf("seals retire of the key in use = %d %q, want 1 and a reason", code, said)
	}
	// A minute passes for Postgres, which is the one that knows how old a key is. Here it
	// is two seconds: a worker that meets a key nobody has told it of asks again, but not
	// within a second of having asked.
	rotated := time.Now()
	devtest.Until(t, patience, "two seconds to pass", func() (bool, error) { return time.Since(rotated) > 2*time.Second, nil })
	w.exec(`UPDATE outbox.seals SET created_at = created_at - interval '1 minute'`)
	var last string
	devtest.Until(t, patience, "relays to sign with the new key", func() (bool, error) {
		w.committed = append(w.committed, w.count(`INSERT INTO outbox.jobs (queue_name, payload) VALUES ('unread', '{}') RETURNING id`))
		text, err := w.rdb.LRange(t.Context(), "queue:{unread}", 0, 0).Result() // nobody takes from it yet
		if len(text) > 0 {
			last = text[0]
		}
		return strings.Contains(last, `"key":`+fresh+`,`), err
	})
	// Ten minutes pass: what was sealed with the old key has been taken long since.
	reader := w.worker(1, "E2E_QUEUES=unread")
	w.until(patience, "what the old key sealed to be done", `SELECT NOT EXISTS (SELECT FROM outbox.jobs WHERE id <= $1 AND status <> 'completed')`,
		w.count(`SELECT max(id) FROM outbox.jobs`))
	w.exec(`UPDATE outbox.seals SET created_at = created_at - interval '10 minutes'`)
	devtest.Until(t, patience, "the old key to be retired", func() (bool, error) {
		code, _, _ := w.cli("seals", "retire", fmt.Sprint(old))
		return code == 0, nil
	})
	load.stop(w)
	w.verify(patience, allowance{})
	if n := p.metric("rookery_worker_forged_total", queue) + reader.metric("rookery_worker_forged_total", "unread"); n != 0 {
		t.Errorf("genuine entries refused = %v, want 0", n)
	}
	if shown := w.mustCLI("seals"); !strings.Contains(shown, fresh) || !strings.Contains(shown, fmt.Sprint(old)) {
		t.Errorf("rookery seals = %s, want both keys", shown)
	}
}
