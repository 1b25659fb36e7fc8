package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func probeOf(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	down := probeOf(errors.New("dial secret"))
	up := probeOf(nil)
	spooling := probeOf(fmt.Errorf("wrapped: %w", &DegradedError{Detail: "spooling", Err: errors.New("dial secret")}))
	for _, tt := range []struct {
		name            string
		postgres, redis func(context.Context) error
		status          int
		want            string
	}{
		{"all well", up, up, 200, `{"ready":true,"checks":[{"name":"postgres","state":"ok"},{"name":"redis","state":"ok"}]}`},
		{"redis down", up, down, 200, `{"ready":true,"checks":[{"name":"postgres","state":"ok"},{"name":"redis","state":"degraded","detail":"does not answer; not needed to be ready"}]}`},
		{"postgres down", down, up, 503, `{"ready":false,"checks":[{"name":"postgres","state":"down","detail":"does not answer"},{"name":"redis","state":"ok"}]}`},
		{"a probe panics", func(context.Context) error { panic("secret") }, up, 503, `{"ready":false,"checks":[{"name":"postgres","state":"down","detail":"does not answer"},{"name":"redis","state":"ok"}]}`},
		{"postgres down, the process goes on", spooling, up, 200, `{"ready":true,"checks":[{"name":"postgres","state":"degraded","detail":"spooling"},{"name":"redis","state":"ok"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, &fakeJobs{}, Options{Checks: []Check{{Name: "postgres", Needed: true, Probe: tt.postgres}, {Name: "redis", Probe: tt.redis}}})
			w := get(s, "/readyz")
			if w.Code != tt.status || strings.TrimSpace(w.Body.String()) != tt.want {
				t.Errorf("/readyz = %d %s, want %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			if w := get(s, "/livez"); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
				t.Errorf("/livez = %d %q, want 200 ok", w.Code, w.Body)
			}
			if w := post(s, "/v1/jobs", `{}`); w.Code != http.StatusCreated {
				t.Errorf("insert = %d, want 201: readiness shuts no door", w.Code)
			}
		})
	}
}

func TestHealth_AsksAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var log bytes.Buffer
		var err atomic.Pointer[error]
		h := &health{log: slog.New(slog.NewTextHandler(&log, nil)), checks: []Check{{Name: "slow", Needed: true, Probe: func(ctx context.Context) error {
			asked.Add(1)
			if ctx.Err() != nil {
				return ctx.Err() // of whoever asked first: must not be
			}
			if e := err.Load(); e != nil {
				return *e
			}
			return nil
		}}}}
		broken := errors.New("broken")
		for _, step := range []struct {
			err   *error
			ready bool
			asked int64
			lines int
		}{{nil, true, 1, 0}, {&broken, false, 2, 1}, {&broken, false, 3, 1}, {nil, true, 4, 2}} {
			err.Store(step.err)
			gone, cancel := context.WithCancel(t.Context())
			cancel() // whoever asks first may hang up; the others still wait for the result
			for range 10 {
				go h.report(gone)
			}
			if got := h.report(t.Context()).Ready; got != step.ready {
				t.Errorf("ready = %t, want %t", got, step.ready)
			}
			synctest.Wait()
			if got := asked.Load(); got != step.asked {
				t.Errorf("asked %d times, want %d", got, step.asked)
			}
			if got := strings.Count(log.String(), "\n"); got != step.lines {
				t.Errorf("%d log lines, want %d: %s", got, step.lines, &log)
			}
			time.Sleep(probeKept + time.Millisecond) // the clock is synctest's
		}
	})
}

func TestHealth_ProbesHaveADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &health{log: slog.New(slog.DiscardHandler), checks: []Check{{Name: "a", Probe: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}}}
		start := time.Now()
		if r := h.report(t.Context()); !r.Ready || r.Checks[0].State != stateDegraded {
			t.Errorf("report = %+v, want ready and degraded", r)
		}
		if took := time.Since(start); took != probeTimeout {
			t.Errorf("took %s, want %s", took, probeTimeout)
		}
	})
}
