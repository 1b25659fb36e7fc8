package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// fakeSpool keeps requests in memory as Redis does; err is what every call returns.
type fakeSpool struct {
	mu      sync.Mutex
	entries []job.SpoolEntry
	refused map[string]string // key → reason
	next    int
	err     error
	peeks   int
}

func (f *fakeSpool) Append(ctx context.Context, r job.Spooled) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.err); err != nil {
		return err
	}
	for _, e := range f.entries {
		if e.Key == r.Key && string(e.Digest) != string(r.Digest) {
			return job.ErrKeyReused
		} else if e.Key == r.Key {
			return nil
		}
	}
	f.next++
	f.entries = append(f.entries, job.SpoolEntry{ID: fmt.Sprintf("%04d", f.next), Spooled: r})
	return nil
}

func (f *fakeSpool) Peek(_ context.Context, after string) (job.SpoolPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peeks++
	p := job.SpoolPage{Stats: job.SpoolStats{Entries: int64(len(f.entries))}}
	for _, e := range f.entries {
		if e.ID > after && len(p.Entries) < 3 {
			p.Entries = append(p.Entries, e)
		}
	}
	return p, f.err
}

func (f *fakeSpool) Remove(_ context.Context, reason string, ids ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []job.SpoolEntry
	for _, e := range f.entries {
		gone := false
		for _, id := range ids {
			gone = gone || id == e.ID
		}
		if !gone {
			left = append(left, e)
		} else if reason != "" {
			if f.refused == nil {
				f.refused = map[string]string{}
			}
			f.refused[e.Key] = reason
		}
	}
	f.entries = left
	return f.err
}

func (f *fakeSpool) Find(_ context.Context, key string) (job.SpoolState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused[key] != "" {
		return job.SpoolRefused, f.err
	}
	for _, e := range f.entries {
		if e.Key == key {
			return job.SpoolWaiting, f.err
		}
	}
	return job.SpoolUnknown, f.err
}

// fakeKeyed inserts as outbox.insert_spooled does. fail, when set, decides the error
// of a call; lost makes it commit all the same.
type fakeKeyed struct {
	mu    sync.Mutex
	done  map[string][]int64
	sums  map[string]string
	jobs  []job.Spec
	calls int
	fail  func(requests []job.Spooled) error
	lost  bool
}

func (f *fakeKeyed) InsertSpooled(_ context.Context, requests []job.Spooled) ([][]int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	var err error
	if f.fail != nil {
		err = f.fail(requests)
	}
	if err != nil && !f.lost {
		return nil, err
	}
	if f.done == nil {
		f.done, f.sums = map[string][]int64{}, map[string]string{}
	}
	var all [][]int64
	for _, r := range requests {
		if f.done[r.Key] == nil {
			for _, s := range r.Specs {
				f.jobs = append(f.jobs, s)
				f.done[r.Key] = append(f.done[r.Key], int64(len(f.jobs)))
			}
			f.sums[r.Key] = string(r.Digest)
		} else if f.sums[r.Key] != string(r.Digest) {
			return nil, job.ErrKeyReused
		}
		all = append(all, f.done[r.Key])
	}
	return all, err
}

func (f *fakeKeyed) InsertOnce(ctx context.Context, r job.Spooled) (ids []int64, replayed bool, err error) {
	f.mu.Lock()
	replayed = f.done[r.Key] != nil
	f.mu.Unlock()
	all, err := f.InsertSpooled(ctx, []job.Spooled{r})
	if len(all) > 0 {
		ids = all[0]
	}
	return ids, replayed, err
}

func (f *fakeKeyed) SpooledJobs(_ context.Context, key string) ([]int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail(nil)
	}
	if ids := f.done[key]; ids != nil {
		return ids, nil
	}
	return nil, job.ErrNotFound
}

func (f *fakeKeyed) RetireSpooled(context.Context) (int64, error) { return 0, nil }

func withKey(key string, r *http.Request) *http.Request {
	r.Header.Set("Idempotency-Key", key)
	return r
}

type spooledBody struct {
	Durable *bool  `json:"durable"`
	SpoolID string `json:"spool_id"`
}

var (
	errAway    = fmt.Errorf("dial secret: %w", job.ErrUnavailable)
	errNotSent = fmt.Errorf("%w: %w", job.ErrNotInserted, errAway)
)

// What is known not to be in Postgres is spooled; what may be there is not, unless
// its key went with it.
func TestSpool_OnlyWhatPostgresIsKnownNotToHave(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		err      error // of the insert
		key      string
		spoolErr error
		status   int
		code     string
		spooled  int
	}{
		{"postgres answers", nil, "", nil, 201, "", 0},
		{"postgres answers, with a key", nil, "k", nil, 201, "", 0},
		{"never sent", errNotSent, "", nil, 202, "", 1},
		{"never sent, with a key", errNotSent, "k", nil, 202, "", 1},
		{"outcome unknown", errAway, "", nil, 503, codeUnavailable, 0},
		{"outcome unknown, with a key", errAway, "k", nil, 202, "", 1},
		{"in the way", job.ErrConflict, "k", nil, 409, codeKeyInUse, 0},
		{"in the way, without a key", job.ErrConflict, "", nil, 503, codeUnavailable, 0},
		{"bad value", &job.DataError{SQLState: "22003"}, "k", nil, 422, codeInvalidJob, 0},
		{"refused, and never sent", fmt.Errorf("%w: %w", job.ErrNotInserted, &job.DataError{SQLState: "22003"}), "", nil, 422, codeInvalidJob, 0},
		{"spool full", errNotSent, "", job.ErrSpoolFull, 503, codeUnavailable, 0},
		{"redis full", errNotSent, "", job.ErrFull, 503, codeUnavailable, 0},
		{"redis away too", errNotSent, "k", job.ErrUnavailable, 503, codeUnavailable, 0},
		{"redis refuses", errNotSent, "k", errors.New("NOPERM secret"), 503, codeUnavailable, 0},
		{"key used", errNotSent, "k", job.ErrKeyReused, 422, codeKeyReused, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for target, body := range map[string]string{"/v1/jobs": `{"kind":"a"}`, "/v1/jobs/batch": `{"jobs":[{"kind":"a"},{"kind":"b"}]}`} {
				spool := &fakeSpool{err: tt.spoolErr}
				keyed := &fakeKeyed{fail: func([]job.Spooled) error { return tt.err }}
				s := newServer(t, &fakeJobs{err: tt.err}, Options{Spool: spool, Keyed: keyed})
				r := newRequestTo(http.MethodPost, target, body)
				if tt.key != "" {
					r = withKey(tt.key, r)
				}
				w := do(s, r)
				if len(spool.entries) != tt.spooled {
					t.Errorf("%s: %d entries in the spool, want %d", target, len(spool.entries), tt.spooled)
				}
				if strings.Contains(w.Body.String(), "secret") {
					t.Errorf("%s: answer has the error's text: %s", target, w.Body)
				}
				if tt.code != "" {
					wantProblem(t, w, tt.status, tt.code)
					if got := w.Header().Get("Retry-After") != ""; got != (tt.status == 503 || tt.status == 409) {
						t.Errorf("%s: Retry-After given = %t", target, got)
					}
					continue
				}
				if w.Code != tt.status {
					t.Fatalf("%s = %d %s, want %d", target, w.Code, w.Body, tt.status)
				}
				if tt.status == 202 {
					got := decodeInto[spooledBody](t, w, 202)
					if got.Durable == nil || *got.Durable || !job.IsSpoolKey(got.SpoolID) || w.Header().Get("Location") != "/v1/spool/"+got.SpoolID {
						t.Errorf("%s = %s, Location %q", target, w.Body, w.Header().Get("Location"))
					}
					if e := spool.entries[0]; e.Key != got.SpoolID || len(e.Specs) != strings.Count(body, "kind") {
						t.Errorf("%s: spooled %+v, want the request's jobs under its key", target, e)
					}
				}
			}
		})
	}
}

// The same Idempotency-Key is the same request, by either way; another body under
// it is refused.
func TestSpool_IdempotencyKey(t *testing.T) {
	t.Parallel()
	spool, keyed, jobs := &fakeSpool{}, &fakeKeyed{}, &fakeJobs{}
	s := newServer(t, jobs, Options{Spool: spool, Keyed: keyed, Express: &fakeExpress{handled: true, id: 9}})
	send := func(key, body string) int {
		return do(s, withKey(key, newRequestTo(http.MethodPost, "/v1/jobs", body))).Code
	}
	for range 2 {
		if got := send("k1", `{"priority":1}`); got != 201 {
			t.Errorf("POST = %d, want 201", got)
		}
	}
	if len(keyed.jobs) != 1 || len(jobs.specs) != 0 {
		t.Errorf("%d keyed and %d other jobs, want 1 and 0", len(keyed.jobs), len(jobs.specs))
	}
	if got := send("k1", `{"priority":2}`); got != 422 {
		t.Errorf("POST of another body = %d, want 422", got)
	}
	if got := send("k2", `{"priority":1}`); got != 201 || len(keyed.jobs) != 2 {
		t.Errorf("POST of another key = %d with %d jobs, want 201 with 2", got, len(keyed.jobs))
	}
	keyed.fail = func([]job.Spooled) error { return errAway }
	for range 3 {
		if got := send("k3", `{}`); got != 202 {
			t.Errorf("POST without Postgres = %d, want 202", got)
		}
	}
	if got := send("k3", `{"kind":"b"}`); got != 422 || len(spool.entries) != 1 {
		t.Errorf("POST of another body = %d with %d entries, want 422 with 1", got, len(spool.entries))
	}
	for _, bad := range [][]string{{""}, {strings.Repeat("a", 256)}, {"a\x01"}, {"ä"}, {"a", "a"}} {
		r := newRequestTo(http.MethodPost, "/v1/jobs", `{}`)
		r.Header["Idempotency-Key"] = bad
		wantProblem(t, do(s, r), 400, codeInvalidParameter)
	}
}

// While Postgres does not answer, only one request a second waits for it.
func TestDetour(t *testing.T) {
	t.Parallel()
	var d detour
	now := time.Unix(1000, 0)
	step := func(what string, after time.Duration, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := d.ask(now); got != want {
			t.Errorf("%s: ask() = %t, want %t", what, got, want)
		}
	}
	step("off", 0, true)
	step("still off", 0, true)
	d.note(now, true, false)
	step("off: only a connection broke", 0, true)
	d.note(now, true, true)
	step("on", 0, false)
	step("on", detourPause-1, false)
	step("the one that asks", 1, true)
	step("while it asks", detourPause, false)
	d.note(now, true, false)
	step("on again", 0, false)
	step("the next that asks", detourPause, true)
	step("that one never came back", insertTimeout, true)
	d.note(now, false, false)
	step("off again", 0, true)
	step("off again", 0, true)
}

func TestSpool_IsNotAskedTwiceForAPostgresThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		jobs := &fakeJobs{err: errNotSent, before: func(context.Context) { asked++ }}
		s := newServer(t, jobs, Options{Spool: &fakeSpool{}, Keyed: &fakeKeyed{}})
		for i := range 5 {
			if w := post(s, "/v1/jobs", `{}`); w.Code != 202 {
				t.Fatalf("request %d = %d %s, want 202", i, w.Code, w.Body)
			}
		}
		if asked != 1 {
			t.Errorf("Postgres was asked by %d requests of the same moment, want 1", asked)
		}
	})
}

func TestGetSpool(t *testing.T) {
	t.Parallel()
	const waiting, refused, inserted, unknown = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", "00000000-0000-4000-8000-000000000003", "00000000-0000-4000-8000-000000000004"
	spool := &fakeSpool{entries: []job.SpoolEntry{{Spooled: job.Spooled{Key: waiting}}}, refused: map[string]string{refused: "odd"}}
	keyed := &fakeKeyed{done: map[string][]int64{inserted: {7, 8}}}
	s := newServer(t, &fakeJobs{}, Options{Spool: spool, Keyed: keyed})
	ask := func(id string) string {
		w := get(s, "/v1/spool/"+id)
		return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
	}
	want := func(what, id, want string) {
		t.Helper()
		if diff := cmp.Diff(want, ask(id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	want("waiting", waiting, `200 {"spool_id":"`+waiting+`","state":"waiting"}`)
	want("refused", refused, `200 {"spool_id":"`+refused+`","state":"refused"}`)
	want("inserted", inserted, `200 {"spool_id":"`+inserted+`","state":"inserted","job_ids":[7,8]}`)
	wantProblem(t, get(s, "/v1/spool/"+unknown), 404, codeSpoolUnknown)
	for _, bad := range []string{"x", strings.ToUpper(waiting[:35]) + "F", waiting + "0", strings.ReplaceAll(waiting, "-", "0")} {
		wantProblem(t, get(s, "/v1/spool/"+bad), 400, codeInvalidParameter)
	}
	keyed.fail = func([]job.Spooled) error { return errAway }
	want("waiting, Postgres away", waiting, `200 {"spool_id":"`+waiting+`","state":"waiting"}`)
	wantProblem(t, get(s, "/v1/spool/"+unknown), 503, codeUnavailable)
	keyed.fail, spool.err = nil, job.ErrUnavailable
	want("inserted, Redis away", inserted, `200 {"spool_id":"`+inserted+`","state":"inserted","job_ids":[7,8]}`)
	wantProblem(t, get(s, "/v1/spool/"+unknown), 503, codeUnavailable)
	wantProblem(t, get(newServer(t, &fakeJobs{}, Options{}), "/v1/spool/"+unknown), 404, codeNotFound)
	if _, err := New(&fakeJobs{}, Options{Spool: spool}); err == nil {
		t.Error("New with a spool and without keyed inserts = nil, want an error")
	}
}
