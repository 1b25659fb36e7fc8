package db_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// sized inserts a job whose payload has n bytes as text.
func (w *world) sized(n int) int64 {
	w.Helper()
	return get[int64](w, "INSERT INTO outbox.jobs (queue_name, payload) VALUES ('mail', to_jsonb(repeat('x', $1::int - 2))) RETURNING id", n)
}

func (w *world) urgent(priority int) int64 {
	w.Helper()
	return get[int64](w, "INSERT INTO outbox.jobs (queue_name, priority) VALUES ('mail', $1) RETURNING id", priority)
}

// ids returns a batch's jobs by id: the relay sorts them, Postgres does not.
func ids(b job.Batch) []int64 {
	var out []int64
	for _, e := range b.Jobs {
		out = append(out, e.ID)
	}
	slices.Sort(out)
	return out
}

func sorted(ids ...int64) []int64 {
	slices.Sort(ids)
	return ids
}

func TestClaim_ByPriorityThenID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var p []int64
	for _, priority := range []int{1000, 100, 0, 100, 50, 0, 999, 51} {
		p = append(p, w.urgent(priority))
	}
	w.exec("INSERT INTO outbox.jobs (queue_name, priority) VALUES ('other', 0)")
	w.exec("INSERT INTO outbox.jobs (queue_name, priority, run_at) VALUES ('mail', 0, now() + interval '1 hour')")
	for _, want := range [][]int64{{p[2], p[5]}, {p[4], p[7]}, {p[1], p[3]}, {p[6]}, {p[0]}} {
		if diff := cmp.Diff(sorted(want...), ids(w.claim(len(want)))); diff != "" {
			t.Errorf("Claim(%d) (-want +got):\n%s", len(want), diff)
		}
	}
	if b := w.claim(500); len(b.Jobs) != 0 {
		t.Errorf("Claim of what is left = %s, want none", idsOf(b))
	}
	if s, err := w.Survey(t.Context(), epochStart, nil); err != nil || !slices.Equal(s.Queues, []string{"other"}) || s.NextIn == job.Never {
		t.Errorf("Survey = %+v, %v, want queue other, and a scheduled job", s, err)
	}
}

func TestClaim_Limit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(job.MaxBatch + 1)
	for _, want := range []int{1, job.MaxBatch - 1, 1} {
		if b := w.claim(max(want, 1)); len(b.Jobs) != want {
			t.Errorf("Claim(%d) = %d jobs", want, len(b.Jobs))
		}
	}
	if b := w.claim(job.MaxBatch); len(b.Jobs) != 0 {
		t.Errorf("Claim of an empty queue = %d jobs", len(b.Jobs))
	}
}

func TestClaim_Bytes(t *testing.T) {
	t.Parallel()
	const quarter = job.MaxBatchBytes / 4
	for _, tt := range []struct {
		name  string
		sizes []int
		want  []int // jobs of each claim
	}{
		{"a byte under", []int{quarter, quarter, quarter, quarter - 1, 2}, []int{4, 1}},
		{"the edge", []int{quarter, quarter, quarter, quarter, 2}, []int{4, 1}},
		{"a byte over", []int{quarter, quarter, quarter, quarter + 1, 2}, []int{3, 2}},
		{"one alone over", []int{job.MaxBatchBytes + 1, 2, 2}, []int{1, 2}},
		{"one alone over, later", []int{2, job.MaxBatchBytes + 1, 2}, []int{1, 1, 1}},
		{"one alone at the edge", []int{job.MaxBatchBytes, 2}, []int{1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.exec("ALTER DOMAIN outbox.byte_size DROP CONSTRAINT jobs_payload_has_at_most_262144_bytes")
			for _, n := range tt.sizes {
				w.sized(n)
			}
			var got []int
			for b := w.claim(500); len(b.Jobs) > 0; b = w.claim(500) {
				got = append(got, len(b.Jobs))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("jobs of each claim (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClaim_Spans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	high, a, b, c, low := w.urgent(10), w.urgent(100), w.urgent(100), w.urgent(100), w.urgent(500)
	for _, tt := range []struct {
		name  string
		spans []job.Span
		limit int
		want  []int64
	}{
		{"nothing", nil, 9, nil},
		{"above the last", []job.Span{{LoPriority: 500, LoID: low, HiPriority: 1000}}, 9, nil},
		{"up to below the first", []job.Span{{LoPriority: -2, HiPriority: 9}}, 9, nil},
		{"above one, in its priority", []job.Span{{LoPriority: 100, LoID: b, HiPriority: 100}}, 9, []int64{c}},
		{"two, the most urgent first", []job.Span{{LoPriority: -2, HiPriority: 99}, {LoPriority: 100, LoID: a, HiPriority: 1000}}, 2, []int64{high, b}},
		{"the rest", everything(), 9, []int64{a, low}},
	} {
		o := order(tt.limit)
		o.Spans = tt.spans
		got, err := w.Claim(t.Context(), o)
		if diff := cmp.Diff(tt.want, ids(got)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

func TestClaim_ManyAtOnceTakeEachJobOnce(t *testing.T) {
	t.Parallel()
	const jobs, claimers = 5000, 4
	w := newWorld(t)
	w.insert(jobs)
	got := make(chan []int64, claimers)
	claim := func(ctx context.Context) error {
		var mine []int64
		defer func() { got <- mine }()
		for {
			b, err := w.Claim(ctx, order(64))
			if err != nil || len(b.Jobs) == 0 {
				return err
			}
			mine = append(mine, ids(b)...)
		}
	}
	w.all(claim, claim, claim, claim)
	times := map[int64]int{}
	for range claimers {
		for _, id := range <-got {
			times[id]++
		}
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("job %d was claimed %d times", id, n)
		}
	}
	left := get[int](w, "SELECT count(*) FROM outbox.ready")
	if len(times) != jobs || left != 0 {
		t.Errorf("claimed %d jobs and left %d, want %d and 0", len(times), left, jobs)
	}
	if listed := w.ledger(); len(listed) != jobs || len(slices.Compact(listed)) != jobs {
		t.Errorf("the ledger lists %d jobs, want each of %d once", len(listed), jobs)
	}
}

func TestClaim_PausedAndResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(2)
	for _, paused := range []bool{true, false} {
		for range 2 { // setting what is set is no error
			if err := w.SetPaused(t.Context(), queue, paused); err != nil {
				t.Fatalf("SetPaused(%t): %v", paused, err)
			}
		}
		want := 1
		if paused {
			want = 0
		}
		if b := w.claim(1); len(b.Jobs) != want {
			t.Errorf("Claim with paused = %t: %d jobs, want %d", paused, len(b.Jobs), want)
		}
	}
}

func TestClaim_LostJobsFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("INSERT INTO outbox.jobs (queue_name, priority) VALUES ('mail', 1000)")
	ref := w.claim(1).Jobs[0].Ref()
	urgent := w.urgent(0)
	w.requeue(true, ref)
	b := w.claim(1)
	if len(b.Jobs) != 1 || b.Jobs[0].ID != ref.ID || b.Jobs[0].Priority != 1000 || b.Jobs[0].LostCount != 1 {
		t.Errorf("Claim = %+v, want the lost job %d with its own priority", b.Jobs, ref.ID)
	}
	if b := w.claim(1); idsOf(b) != idsOf(job.Batch{Jobs: []job.Envelope{{ID: urgent}}}) {
		t.Errorf("Claim = %s, want %d", idsOf(b), urgent)
	}
}

// A seq is written once: by the claim after it, or on its own; and a relay that was
// frozen since its push does not overwrite it.
func TestClaim_RecordsSeqOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(3)
	a, b := w.claim(1), w.claim(1)
	seq := func(id int64) int64 {
		t.Helper()
		return get[int64](w, "SELECT coalesce(seq, 0) FROM outbox.dispatches WHERE id = $1", id)
	}
	c := order(1)
	c.Pushed = []job.Recorded{{DispatchID: a.DispatchID, Seq: 7}, {DispatchID: job.NewDispatchID(), Seq: 1}}
	if got, err := w.Claim(t.Context(), c); err != nil || len(got.Jobs) != 1 {
		t.Fatalf("Claim = %v, %v", got, err)
	}
	if got := seq(a.DispatchID); got != 7 {
		t.Errorf("seq = %d, want 7", got)
	}
	if err := w.Record(t.Context(), []job.Recorded{{DispatchID: a.DispatchID, Seq: 9}, {DispatchID: b.DispatchID, Seq: 8}}); err != nil {
		t.Fatalf("Record: %v", err)
	}
	c = order(1) // nothing is due: what was pushed is recorded all the same
	c.Pushed = []job.Recorded{{DispatchID: b.DispatchID, Seq: 10}, {DispatchID: c.DispatchID, Seq: 3}}
	if _, err := w.Claim(t.Context(), c); err != nil {
		t.Fatalf("Claim: %v", err)
	}
	if x, y := seq(a.DispatchID), seq(b.DispatchID); x != 7 || y != 8 {
		t.Errorf("seqs = %d, %d, want 7, 8 still", x, y)
	}
}

func TestClaim_RecordsSeqOfAPausedQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	if err := w.SetPaused(t.Context(), queue, true); err != nil {
		t.Fatal(err)
	}
	c := order(1)
	c.Pushed = []job.Recorded{{DispatchID: ref.DispatchID, Seq: 7}}
	if _, err := w.Claim(t.Context(), c); err != nil {
		t.Fatalf("Claim: %v", err)
	}
	if got := get[int64](w, "SELECT coalesce(seq, 0) FROM outbox.dispatches"); got != 7 {
		t.Errorf("seq = %d, want 7", got)
	}
}

// A batch stands in the order in which it is to be taken, claimed or rebuilt.
func TestClaim_InTheOrderOfTaking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const jobs = 60
	w.exec("INSERT INTO outbox.jobs (queue_name, priority) SELECT $1, n * 37 % 10 FROM generate_series(1, $2::int) AS n", queue, jobs)
	check := func(what string, b job.Batch) {
		t.Helper()
		places := make([][2]int64, len(b.Jobs))
		for i, e := range b.Jobs {
			places[i] = [2]int64{int64(e.Priority), e.ID}
		}
		if len(places) != jobs || !slices.IsSortedFunc(places, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) }) {
			t.Errorf("%s: priorities and ids = %v, want %d in order", what, places, jobs)
		}
	}
	check("Claim", w.claim(jobs))
	w.age()
	rebuilt, err := w.TakeOver(t.Context(), "relay-2", []string{queue})
	if err != nil || len(rebuilt) != 1 {
		t.Fatalf("TakeOver = %d batches, %v, want 1", len(rebuilt), err)
	}
	check("TakeOver", rebuilt[0])
}

// The ledger's primary key refuses a dispatch id that exists; the claim is drawn
// again.
func TestClaim_DispatchIDThatExists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	id := w.insert(1)[0]
	c := order(1)
	c.DispatchID = ref.DispatchID
	_, err := w.Claim(t.Context(), c)
	refusedValue(t, "Claim", err, "23505")
	if s := w.traces(id); s.Status != job.Queued || s.Ready != 1 {
		t.Errorf("the job = %+v, want queued and ready", s)
	}
}

func TestClaim_Express(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	prio := 5
	spec := job.Spec{QueueName: queue, Kind: "k", Payload: []byte(`{"a": 1}`), Headers: []byte(`{"h": "x"}`), Priority: &prio, MaxAttempts: 3}
	c := order(1)
	b, ok, err := w.Express(t.Context(), spec, c)
	if err != nil || !ok || len(b.Jobs) != 1 {
		t.Fatalf("Express = %v, %t, %v", b, ok, err)
	}
	e := b.Jobs[0]
	if e.DispatchID != c.DispatchID || e.AttemptCount != 1 || e.Priority != 5 || e.Kind != "k" || e.MaxAttempts != 3 ||
		string(e.Payload) != `{"a": 1}` || string(e.Headers) != `{"h": "x"}` || e.QueueName != queue || e.DispatchedAt.IsZero() {
		t.Errorf("envelope = %+v", e)
	}
	want := traces{Status: job.Dispatched, AttemptCount: 1, DispatchID: c.DispatchID}
	if diff := cmp.Diff(want, w.traces(e.ID)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.age() // its caller dies before the push
	if got := w.takeOver("relay-2"); !slices.Equal(got[c.DispatchID], b.Refs()) {
		t.Errorf("TakeOver = %v, want %v", got, b.Refs())
	}
	if w.reconcile(job.Succeeded, 0, e.Ref()) != 1 {
		t.Error("its outcome was not accepted")
	}
	spec.Headers = nil
	spec.Payload = []byte(`"` + string(make([]byte, 3)) + `"`)
	_, _, err = w.Express(t.Context(), spec, order(1))
	refusedValue(t, "Express with NUL", err, "22021")
}
