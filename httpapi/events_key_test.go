package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// A stream ends when its key does, by the next ping; another's goes on.
func TestEvents_StreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*fakeKeys, string){
		"revoked": func(f *fakeKeys, id string) { delete(f.known, id) },
		"may no longer": func(f *fakeKeys, id string) {
			k := f.known[id]
			k.Scopes = []job.Scope{job.ScopeJobsWrite}
			f.known[id] = k
		},
		"Postgres is away": nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			keys := &fakeKeys{}
			o := everything(keys)
			o.Events = &fakeEvents{}
			s := newServer(t, &fakeJobs{}, o)
			key, id := keys.give([]job.Scope{job.ScopeJobsRead})
			ended := make(chan time.Duration, 1)
			w := httptest.NewRecorder()
			began := time.Now()
			go func() {
				r := newRequestTo(http.MethodGet, "/v1/events", "")
				r.Header.Set("Authorization", "Bearer "+key)
				s.Handler().ServeHTTP(slowWriter{w}, r)
				ended <- time.Since(began)
			}()
			<-time.After(time.Minute)
			keys.set(func() {
				if end == nil {
					keys.err = job.ErrUnavailable
				} else {
					end(keys, id)
				}
			})
			least, most := time.Minute, time.Minute+keyFresh+streamPing
			if end == nil {
				least, most = streamLife, streamLife
			}
			if lasted := <-ended; lasted < least || lasted > most {
				t.Errorf("%s: the stream lasted %s, want %s to %s", name, lasted, least, most)
			}
			if n := strings.Count(w.Body.String(), ": ping\n"); n < 3 || !strings.Contains(w.Body.String(), `{"reason":"start"}`) {
				t.Errorf("%s: it had %d pings, and said %.200s", name, n, w.Body)
			}
		})
	}
}

// What a key may see is that of now.
func TestEvents_StreamShowsWhatItsKeySeesNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, keys := &fakeEvents{}, &fakeKeys{}
		o := everything(keys)
		o.Events = f
		s := newServer(t, &fakeJobs{}, o)
		key, id := keys.give([]job.Scope{job.ScopeJobsRead})
		w := httptest.NewRecorder()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r := newRequestTo(http.MethodGet, "/v1/events", "")
			r.Header.Set("Authorization", "Bearer "+key)
			s.Handler().ServeHTTP(slowWriter{w}, r)
		}()
		<-time.After(time.Second)
		f.add(done(1, "mail"))
		<-time.After(time.Second)
		keys.set(func() {
			k := keys.known[id]
			k.Queues = []string{"other"}
			keys.known[id] = k
		})
		<-time.After(keyFresh + streamPing)
		f.add(done(2, "mail"), done(3, "other"))
		<-ended
		said := w.Body.String()
		for id, want := range map[string]bool{`"job_id":1,`: true, `"job_id":2,`: false, `"job_id":3,`: true} {
			if strings.Contains(said, id) != want {
				t.Errorf("the stream says %s: %v, want %v", id, !want, want)
			}
		}
	})
}
