package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	vacuumed = regexp.MustCompile(`^(\d+\.\d+) LOG:  automatic vacuum of table "postgres\.(\w+\.\w+)": index scans: (\d+)`)
	removed  = regexp.MustCompile(`tuples: (\d+) removed`)
	written  = regexp.MustCompile(`WAL usage: \d+ records, (\d+) full page images, (\d+) bytes`)
	used     = regexp.MustCompile(`CPU: user: ([\d.]+) s, system: ([\d.]+) s`)
)

type vacuum struct{ times, scans, removed, images, bytes, seconds float64 }

// vacuums reads in Postgres' log what autovacuum did to each table since from, those
// of jobs together.
func (s *stage) vacuums(from time.Time) {
	data, err := os.ReadFile(filepath.Join(s.logs, "postgres.log"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "retention:", err)
	}
	sums := map[string]*vacuum{}
	var now *vacuum
	for line := range strings.Lines(string(data)) {
		if m := vacuumed.FindStringSubmatch(line); m != nil {
			now = &vacuum{}
			if number(m[1]) < float64(from.Unix()) {
				continue
			}
			name := m[2]
			if strings.HasPrefix(name, "outbox.jobs") {
				name = "outbox.jobs"
			}
			if sums[name] == nil {
				sums[name] = &vacuum{}
			}
			now = sums[name]
			now.times++
			now.scans += number(m[3])
		}
		if now == nil {
			continue
		}
		if m := removed.FindStringSubmatch(line); m != nil {
			now.removed += number(m[1])
		}
		if m := written.FindStringSubmatch(line); m != nil {
			now.images += number(m[1])
			now.bytes += number(m[2])
		}
		if m := used.FindStringSubmatch(line); m != nil {
			now.seconds += number(m[1]) + number(m[2])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		v := sums[name]
		fmt.Printf("vacuum %s times=%.0f index_scans=%.0f removed=%.0f images=%.0f wal_bytes=%.0f cpu_s=%.2f\n",
			name, v.times, v.scans, v.removed, v.images, v.bytes, v.seconds)
	}
}

func number(text string) float64 {
	f, _ := strconv.ParseFloat(text, 64)
	return f
}
