package httpapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
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
	for _, tt := range []struct {
		name            string
		postgres, redis func(context.Context) error
		status          int
		brief, verbose  string
	}{
		{"all well", up, up, 200, "ready\n", "[+]postgres ok _ms\n[+]redis ok _ms\nready\n"},
		{"redis down", up, down, 200, "[!]redis failed, not needed to be ready\nready\n", "[+]postgres ok _ms\n[!]redis failed, not needed to be ready\nready\n"},
		{"postgres down", down, up, 503, "[-]postgres failed\nnot ready\n", "[-]postgres failed\n[+]redis ok _ms\nnot ready\n"},
		{"a probe panics", func(context.Context) error { panic("secret") }, up, 503, "[-]postgres failed\nnot ready\n", "[-]postgres failed\n[+]redis ok _ms\nnot ready\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, &fakeJobs{}, Options{Checks: []Check{{Name: "postgres", Needed: true, Probe: tt.postgres}, {Name: "redis", Probe: tt.redis}}})
			for target, want := range map[string]string{"/readyz": tt.brief, "/readyz?verbose": tt.verbose} {
				w := get(s, target)
				got := regexp.MustCompile(`[\d.]+ms`).ReplaceAllString(w.Body.String(), "_ms")
				if w.Code != tt.status || got != want {
					t.Errorf("%s = %d %q, want %d %q", target, w.Code, got, tt.status, want)
				}
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
				go h.report(gone, false)
			}
			if _, ready := h.report(t.Context(), false); ready != step.ready {
				t.Errorf("ready = %t, want %t", ready, step.ready)
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
		if text, ready := h.report(t.Context(), false); !ready || !strings.HasPrefix(text, "[!]a failed") {
			t.Errorf("report = %q, %t", text, ready)
		}
		if took := time.Since(start); took != probeTimeout {
			t.Errorf("took %s, want %s", took, probeTimeout)
		}
	})
}
