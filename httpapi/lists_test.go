package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

func TestListJobs_Query(t *testing.T) {
	t.Parallel()
	empty, kind, beginning := "", "wel come", "email.*"
	after := time.Date(2026, 1, 2, 2, 4, 5, 6000, time.UTC)
	for query, want := range map[string]job.Listing{
		"":             {Limit: 50},
		"limit=1":      {Limit: 1},
		"limit=200":    {Limit: 200},
		"kind=":        {Limit: 50, Kind: &empty},
		"cursor=":      {Limit: 50},
		"kind=email.*": {Limit: 50, Kind: &beginning},
		"status=dead&died_after=2026-01-02T02:04:05.000006Z": {Limit: 50, Status: "dead", DiedAfter: after},
		"status=retrying":   {Limit: 50, Status: "retrying"},
		"queue_name=a%3Ab&": {Limit: 50, QueueName: "a:b"},
		"kind=wel+come&status=dead&created_after=2026-01-02T03:04:05.000006%2B01:00": {Limit: 50, Kind: &kind, Status: "dead", CreatedAfter: after},
	} {
		f := &fakeAdmin{}
		w := get(newAdmin(t, f, Options{}), "/v1/jobs?"+query)
		if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `{"data":[],"next_cursor":null}` {
			t.Errorf("?%s = %d %s, want an empty page", query, w.Code, w.Body)
			continue
		}
		if diff := cmp.Diff(want, f.listings[0]); diff != "" {
			t.Errorf("?%s (-want +listing):\n%s", query, diff)
		}
	}
}

func TestListJobs_RefusesBadQueries(t *testing.T) {
	t.Parallel()
	f := &fakeAdmin{}
	s := newAdmin(t, f, Options{})
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=201": "limit", "limit=": "limit", "limit=1e1": "limit", "status=lost": "status", "status=ready&status=dead": "status",
		"queue_name=a%20b": "queue_name", "kind=" + strings.Repeat("k", job.MaxKind+1): "kind", "kind=%00": "kind", "kind=%ff": "kind",
		"created_after=yesterday": "created_after", "created_before=10000-01-01T00:00:00Z": "created_before", "created_before=0001-01-01T00:00:00Z": "created_before",
		"status=dead&died_after=today": "died_after", "died_after=2026-01-02T02:04:05Z": "died_after", "kind=" + strings.Repeat("k", job.MaxKind+1) + "*": "kind",
		"offset=1": "offset", "cursor=x": "cursor", "cursor=" + strings.Repeat("A", maxCursor+1): "cursor",
		"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"p":{"id":0}}`)): "cursor",
	} {
		if p := wantProblem(t, get(s, "/v1/jobs?"+query), http.StatusBadRequest, codeInvalidParameter); len(p.Errors) != 1 || p.Errors[0].Field != field {
			t.Errorf("?%.60s = %+v, want %s named", query, p.Errors, field)
		}
	}
	if len(f.listings) > 0 {
		t.Errorf("Postgres was asked for %+v", f.listings)
	}
	f.err = job.ErrUnavailable
	wantProblem(t, get(s, "/v1/jobs"), http.StatusServiceUnavailable, codeUnavailable)
}

// A cursor leads on exactly where the page ended, and only with the filters of its page.
func TestListJobs_Cursor(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 14, 0, 0, 123456000, time.UTC)
	for _, place := range []job.Place{{ID: 1<<63 - 1}, {ID: 3, QueueName: strings.Repeat("q", job.MaxQueueName), Priority: job.LostPriority}, {ID: 1, At: at}} {
		f := &fakeAdmin{page: job.Page{Jobs: []job.Job{{ID: 7, RunAt: at}}, Next: &place}}
		s := newAdmin(t, f, Options{})
		first := decodeInto[jobList](t, get(s, "/v1/jobs?status=dead&kind=any&limit=1"), http.StatusOK)
		if first.NextCursor == nil || len(*first.NextCursor) > maxCursor || first.ScannedTo != nil {
			t.Fatalf("page = %+v, want a cursor", first)
		}
		cursor := "&cursor=" + url.QueryEscape(*first.NextCursor)
		if w := get(s, "/v1/jobs?kind=any&status=dead&limit=9"+cursor); w.Code != http.StatusOK {
			t.Fatalf("the next page = %d %s", w.Code, w.Body)
		}
		if diff := cmp.Diff(&place, f.listings[1].From); diff != "" {
			t.Errorf("it begins elsewhere (-want +got):\n%s", diff)
		}
		for _, other := range []string{"status=dead", "status=dead&kind=", "status=ready&kind=any", "status=dead&kind=any&queue_name=q", "status=dead&kind=any&created_before=2026-01-01T00:00:00Z", "status=dead&kind=any&died_after=2026-01-01T00:00:00Z"} {
			wantProblem(t, get(s, "/v1/jobs?"+other+cursor), http.StatusBadRequest, codeCursorMismatch)
		}
	}
}

func TestListJobs_ScannedTo(t *testing.T) {
	t.Parallel()
	f := &fakeAdmin{page: job.Page{Next: &job.Place{ID: 6}, Capped: true}}
	got := decodeInto[jobList](t, get(newAdmin(t, f, Options{}), "/v1/jobs?kind=rare"), http.StatusOK)
	if got.NextCursor == nil || got.ScannedTo == nil || got.ScannedTo.ID != 6 || got.Data == nil {
		t.Errorf("page = %+v, want it scanned to 6, with a cursor", got)
	}
}

func TestGetJob_ETag(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{rows: map[int64]job.Job{7: {ID: 7, Status: job.Dead}}}
	s := newServer(t, jobs, Options{})
	etag := get(s, "/v1/jobs/7").Header().Get("ETag")
	for _, tt := range []struct {
		known  []string
		status int
	}{
		{nil, 200}, {[]string{`"other"`}, 200}, {[]string{etag}, 304}, {[]string{"W/" + etag}, 304}, {[]string{`"other", ` + etag}, 304}, {[]string{`"other"`, etag}, 304}, {[]string{"*"}, 304},
	} {
		r := newRequestTo(http.MethodGet, "/v1/jobs/7", "")
		r.Header["If-None-Match"] = tt.known
		w := do(s, r)
		if w.Code != tt.status || w.Header().Get("ETag") != etag || (w.Body.Len() == 0) != (tt.status == 304) {
			t.Errorf("If-None-Match %q = %d with %d bytes, want %d", tt.known, w.Code, w.Body.Len(), tt.status)
		}
	}
	jobs.rows[7] = job.Job{ID: 7, Status: job.Queued}
	if changed := get(s, "/v1/jobs/7").Header().Get("ETag"); changed == etag || len(etag) < 10 {
		t.Errorf("ETag = %s before and %s after the job changed", etag, changed)
	}
}
