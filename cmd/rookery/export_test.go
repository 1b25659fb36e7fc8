package main

import (
	"testing"
	"time"
)

func TestSinceOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "0s": now, "36h": now.Add(-36 * time.Hour), "87600h": now.Add(-87600 * time.Hour), "2026-11-30T09:00:00+01:00": now.Add(-25 * time.Hour),
		"-1h": {}, "87601h": {}, "yesterday": {}, "2026-11-30": {}, "0001-01-01T00:00:00Z": {},
	} {
		got, err := sinceOf(text, now)
		if bad := want.IsZero() && text != ""; bad != (err != nil) || !got.Equal(want) {
			t.Errorf("sinceOf(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
}
