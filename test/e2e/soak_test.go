package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Under a steady load and without any fault, nothing grows: goroutines, open files and
// memory of relay, API and workers, and their connections. ROOKERY_SOAK=20m is the long
// form (make soak).
func TestFlat_OverTime(t *testing.T) {
	slow(t)
	t.Parallel()
	d := 15 * time.Second
	if text := os.Getenv("ROOKERY_SOAK"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d < 10*time.Second {
			t.Fatalf("ROOKERY_SOAK=%s (%v), want at least 10s", text, err)
		}
	}
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	api, base := w.serve()
	processes := map[string]*process{"api": api, "relay": w.rookery("relay --http 127.0.0.1:0"), "worker 1": w.worker(20), "worker 2": w.worker(20)}
	load := produce(t, w.inserts, 2, 20*time.Millisecond, `{"do": "sleep", "ms": 20}`)

	samples := map[string][]usage{}
	for began := time.Now(); time.Since(began) < d; {
		w.post(base, job(`"payload": {}`))
		w.insert(3, `{}`)
		call(t, "GET", base+"/v1/queues", "")
		for name, p := range processes {
			samples[name] = append(samples[name], p.usage())
		}
		samples["servers"] = append(samples["servers"], w.connections())
		next := time.Now().Add(max(200*time.Millisecond, d/1000))
		devtest.Until(t, patience, "the next sample", func() (bool, error) { return time.Now().After(next), nil })
	}
	load.stop(w)
	w.untilStatus(patience, "completed", w.committed)
	for name, all := range samples {
		n := len(all) / 4
		early, late := median(all[n:2*n]), median(all[len(all)-n:])
		t.Logf("%-8s %d samples: second quarter %+v, last quarter %+v", name, len(all), early, late)
		// Pools grow to their bound when a moment asks for it.
		if late.goroutines > early.goroutines+10 || late.files > early.files+20 || late.bytes > early.bytes+24<<20 {
			t.Errorf("%s has grown from %+v to %+v, want no more than 10 goroutines, 20 files or connections, 24 MiB", name, early, late)
		}
	}
	for name, p := range processes {
		if p.ended() {
			t.Errorf("%s has ended", name)
		}
	}
	w.verify(patience, allowance{})
}

// connections are those of everybody to Postgres and Redis, as files, and the bytes of
// Redis' memory.
func (w *world) connections() usage {
	w.t.Helper()
	clients, err := w.rdb.Do(w.t.Context(), "CLIENT", "LIST").Text()
	if err != nil {
		w.t.Fatal(err)
	}
	memory, err := w.rdb.InfoMap(w.t.Context(), "memory").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	bytes := 0.0
	if _, err := fmt.Sscan(memory["Memory"]["used_memory"], &bytes); err != nil {
		w.t.Fatal(err)
	}
	return usage{files: float64(strings.Count(clients, "\n")) + float64(w.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()`)), bytes: bytes}
}

// median is taken of each figure by itself.
func median(all []usage) usage {
	of := func(figure func(usage) float64) float64 {
		var list []float64
		for _, u := range all {
			list = append(list, figure(u))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return usage{
		of(func(u usage) float64 { return u.goroutines }),
		of(func(u usage) float64 { return u.files }),
		of(func(u usage) float64 { return u.bytes }),
	}
}
