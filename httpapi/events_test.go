package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// fakeEvents is a log; a snapshot's numbers say how many of its events it sees.
type fakeEvents struct {
	mu     sync.Mutex
	log    []job.StatusEvent
	gap    bool // of the next page
	opened map[bool]int
}

func (f *fakeEvents) add(events ...job.StatusEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, events...)
}

func (f *fakeEvents) OpenEvents(_ context.Context, long bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opened == nil {
		f.opened = map[bool]int{}
	}
	f.opened[long]++
	return nil
}

func (f *fakeEvents) EventsSince(_ context.Context, since time.Time) (job.ExportStart, error) {
	return job.ExportStart{At: job.EventCursor{Settled: true, Since: "1:1:"}, CompleteFrom: since.Add(time.Hour)}, nil
}

func (f *fakeEvents) Events(_ context.Context, from job.EventCursor, _ bool) (job.EventPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	present := fmt.Sprintf("%d:%d:", len(f.log)+1, len(f.log)+1)
	if from.Since == "" || f.gap {
		f.gap = false
		return job.EventPage{Gap: true, Next: job.EventCursor{Settled: true, Since: present}}, nil
	}
	since, _ := job.ParseSnapshot(from.Since)
	if from.Upto == "" {
		from.Upto = present
	}
	upto, _ := job.ParseSnapshot(from.Upto)
	return job.EventPage{Events: f.log[since.Xmin-1 : upto.Xmin-1], Next: job.EventCursor{Settled: true, Since: from.Upto}}, nil
}

// stream is a client of GET /v1/events.
type stream struct {
	*testing.T
	res *http.Response
	in  *bufio.Scanner
	id  string
}

func listen(t *testing.T, base, query, lastID, key string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/events"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Set("Last-Event-ID", lastID); key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 1<<20)
	return &stream{T: t, res: res, in: in}
}

// next returns the next event as "name data", or "" at the end.
func (s *stream) next() string {
	s.Helper()
	name, data := "", ""
	for s.in.Scan() {
		switch line := s.in.Text(); {
		case line == "" && data != "":
			return name + " " + data
		case strings.HasPrefix(line, "id: "):
			s.id = line[4:]
		case strings.HasPrefix(line, "event: "):
			name = line[7:]
		case strings.HasPrefix(line, "data: "):
			data = line[6:]
		}
	}
	return ""
}

func (s *stream) want(want string) {
	s.Helper()
	if got := s.next(); !strings.HasPrefix(got, want) {
		s.Fatalf("event = %q, want %q", got, want)
	}
}

func eventServer(t *testing.T, jobs Jobs, o Options) (*Server, string) {
	t.Helper()
	s := newServer(t, jobs, o)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	t.Cleanup(s.hub.close)
	return s, web.URL
}

func done(id int64, queue string) job.StatusEvent {
	return job.StatusEvent{JobID: id, QueueName: queue, Kind: "welcome", Status: job.Completed, AttemptCount: 1}
}

func TestEvents_ComeAndGoOnWhereTheyEnded(t *testing.T) {
	t.Parallel()
	f := &fakeEvents{}
	f.add(done(1, "mail"))
	_, url := eventServer(t, &fakeJobs{}, Options{Events: f})
	a := listen(t, url, "?kind=welcome", "", "")
	if got := a.res.Header.Get("Content-Type"); a.res.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("answer = %d %s", a.res.StatusCode, got)
	}
	a.want(`resync {"reason":"start"}`)
	f.add(done(2, "mail"), job.StatusEvent{JobID: 3, QueueName: "mail", Kind: "other", Status: job.Dead}, done(4, "mail"))
	a.want(`job.status {"job_id":2,"queue_name":"mail","kind":"welcome","status":"completed","attempt_count":1,`)
	a.want(`job.status {"job_id":4,`)
	last := a.id
	_ = a.res.Body.Close()
	f.add(done(5, "mail"))
	b := listen(t, url, "?kind=welcome", last, "")
	b.want(`job.status {"job_id":5,`)
	f.mu.Lock()
	f.gap = true
	f.mu.Unlock()
	b.want(`resync {"reason":"gap"}`)
	if f.opened[false] == 0 {
		t.Error("nobody said that somebody listens")
	}
}

func TestEvents_ShowAKeyItsQueues(t *testing.T) {
	t.Parallel()
	f, keys := &fakeEvents{}, &fakeKeys{}
	o := everything(keys)
	o.Events = f
	_, url := eventServer(t, loaded(), o)
	bound, _ := keys.give([]job.Scope{job.ScopeJobsRead}, "other")
	a := listen(t, url, "", "", bound)
	a.want("resync")
	a.want(`queue.status {"queue_name":"other","paused":true,`)
	f.add(done(1, "mail"), done(2, "other"))
	a.want(`job.status {"job_id":2,`)
	blind, _ := keys.give([]job.Scope{job.ScopeJobsWrite})
	if s := listen(t, url, "", "", blind); s.res.StatusCode != http.StatusForbidden {
		t.Errorf("a key without jobs:read = %d, want 403", s.res.StatusCode)
	}
}

func TestEvents_TellOfQueuesThatChange(t *testing.T) {
	t.Parallel()
	jobs := loaded()
	_, url := eventServer(t, jobs, Options{Events: &fakeEvents{}})
	a := listen(t, url, "?queue_name=mail", "", "")
	a.want("resync")
	a.want(`queue.status {"queue_name":"mail","paused":false,"ready":1,`)
	changed := loaded().queues
	changed[0].Paused = true
	jobs.mu.Lock()
	jobs.queues = changed
	jobs.mu.Unlock()
	a.want(`queue.status {"queue_name":"mail","paused":true,`)
}

func TestEvents_RefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{Events: &fakeEvents{}})
	for query, field := range map[string]string{
		"?status=dispatched": "status", "?job_id=0": "job_id", "?job_id=x": "job_id", "?queue_name=a%7Bb": "queue_name", "?queue=a": "queue",
		"?cursor=!": "cursor", "?cursor=" + (job.EventCursor{Since: "5:3:"}).String(): "cursor",
		"?cursor=" + (job.EventCursor{Since: "1:9:7,3"}).String(): "cursor", "?cursor=" + strings.Repeat("a", job.MaxEventCursor+1): "cursor",
	} {
		for _, path := range []string{"/v1/events", "/v1/events/export"} {
			if p := wantProblem(t, get(s, path+query), http.StatusBadRequest, codeInvalidParameter); p.Errors[0].Field != field {
				t.Errorf("%s%.40s = %+v, want %s named", path, query, p.Errors, field)
			}
		}
	}
}

func TestEvents_AKeyMayListenSixteenTimes(t *testing.T) {
	t.Parallel()
	f := &fakeEvents{}
	h := newHub(f, (&fakeJobs{}).Queues)
	var all []*listener
	for range maxOfKey {
		l, _, _, err := h.join(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	if _, _, _, err := h.join(t.Context(), "a"); err == nil {
		t.Errorf("one more than %d of a key are let in", maxOfKey)
	}
	for i := range maxListeners - maxOfKey {
		if _, _, _, err := h.join(t.Context(), fmt.Sprint("b", i)); err != nil {
			t.Fatalf("listener %d: %v", i, err)
		}
	}
	if _, _, _, err := h.join(t.Context(), "c"); err == nil {
		t.Errorf("one more than %d are let in", maxListeners)
	}
	h.leave(all[0])
	if _, _, _, err := h.join(t.Context(), "c"); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

func TestEvents_SlowReaderIsLetGo(t *testing.T) {
	t.Parallel()
	f := &fakeEvents{}
	h := newHub(f, (&fakeJobs{}).Queues)
	slow, _, _, err := h.join(t.Context(), "slow")
	if err != nil {
		t.Fatal(err)
	}
	for i := range listenerBuffer + 1 {
		h.mu.Lock()
		h.tellLocked(bulletin{page: job.EventPage{Next: job.EventCursor{ID: int64(i)}}})
		h.mu.Unlock()
	}
	s := &eventStream{}
	w := httptest.NewRecorder()
	s.w, s.to = w, http.NewResponseController(slowWriter{w})
	s.follow(t.Context(), h, slow)
	if got := w.Body.String(); !strings.Contains(got, `resync`) || !strings.Contains(got, `{"reason":"slow"}`) {
		t.Errorf("it was told %q, want to read anew", got)
	}
	if len(h.listeners) != 0 {
		t.Error("it is a listener still")
	}
}

// slowWriter has deadlines, as a connection does.
type slowWriter struct{ *httptest.ResponseRecorder }

func (slowWriter) SetWriteDeadline(time.Time) error { return nil }

func TestEvents_EndWithTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{Addr: "127.0.0.1:0", Events: &fakeEvents{}})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	a := listen(t, "http://"+s.Addr(), "", "", "")
	a.want("resync")
	stop()
	if got := a.next(); got != "" {
		t.Errorf("after the end = %q, want the end of the stream", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestEvents_ExportGoesOnByCursor(t *testing.T) {
	t.Parallel()
	f := &fakeEvents{}
	f.add(done(1, "mail"))
	s := newServer(t, &fakeJobs{}, Options{Events: f})
	export := func(query string) (lines []string, end exportEnd) {
		w := get(s, "/v1/events/export"+query)
		lines = strings.Split(strings.TrimSpace(w.Body.String()), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); w.Code != 200 || err != nil || end.Cursor == "" {
			t.Fatalf("export%s = %d %s", query, w.Code, w.Body)
		}
		return lines[:len(lines)-1], end
	}
	lines, end := export("")
	if len(lines) != 0 || !end.Gap {
		t.Fatalf("the first = %q, %+v, want the present alone", lines, end)
	}
	f.add(done(2, "mail"), done(3, "other"))
	if lines, end = export("?queue_name=other&cursor=" + end.Cursor); len(lines) != 1 || !strings.HasPrefix(lines[0], `{"job_id":3,`) || end.Gap || end.More {
		t.Errorf("the second = %q, %+v, want job 3", lines, end)
	}
	if lines, _ = export("?cursor=" + end.Cursor); len(lines) != 0 {
		t.Errorf("the third = %q, want nothing new", lines)
	}
	if f.opened[true] != 3 {
		t.Errorf("the gate was opened for long %d times, want 3", f.opened[true])
	}
}

func TestEvents_ExportBeginsWithWhatIsKept(t *testing.T) {
	t.Parallel()
	f := &fakeEvents{}
	f.add(done(1, "mail"))
	s := newServer(t, &fakeJobs{}, Options{Events: f})
	w := get(s, "/v1/events/export?since=2026-01-02T03:04:05Z")
	if body := w.Body.String(); w.Code != 200 || !strings.HasPrefix(body, `{"job_id":1,`) || !strings.Contains(body, `"complete_from":"2026-01-02T04:04:05Z"`) {
		t.Fatalf("since = %d %s, want job 1 and from when on nothing is missing", w.Code, body)
	}
	if f.opened[true] != 1 {
		t.Errorf("the gate was opened for long %d times, want 1", f.opened[true])
	}
	cursor := (job.EventCursor{Since: "1:1:"}).String()
	for _, query := range []string{"/export?since=yesterday", "/export?since=2026-01-02T03:04:05Z&cursor=" + cursor, "?since=2026-01-02T03:04:05Z"} {
		if p := wantProblem(t, get(s, "/v1/events"+query), http.StatusBadRequest, codeInvalidParameter); p.Errors[0].Field != "since" {
			t.Errorf("%.30s = %+v, want since named", query, p.Errors)
		}
	}
}
