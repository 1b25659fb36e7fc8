package db_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// Somebody reads a table of ours for long, as pg_dump does: a migration that wants it for
// itself lets others through again and again, and is applied when the reader has ended.
func TestMigrator_LetsOthersThroughWhileItWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m := migrator(t, w.url)
	m.WaitForLocks(500*time.Millisecond, time.Millisecond, 2)
	down := 0
	for alters := false; !alters; down++ { // to before migration 22, which alters outbox.dispatches
		back, err := m.Down(ctx, false)
		if err != nil || len(back) != 1 {
			t.Fatalf("Down = %v, %v", back, err)
		}
		alters = back[0].Version == 22
	}

	dump := w.begun()
	w.in(dump, "LOCK TABLE outbox.dispatches IN ACCESS SHARE MODE")
	var pid int
	if err := dump.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if up, err := m.Up(ctx); err == nil || len(up) != 0 || !strings.Contains(err.Error(), fmt.Sprintf("pid %d, user postgres", pid)) || !strings.Contains(err.Error(), "2 times") {
		t.Errorf("Up behind a reader = %v, %v, want none, and who it is", up, err)
	}

	m = migrator(t, w.url)
	m.WaitForLocks(500*time.Millisecond, 100*time.Millisecond, math.MaxInt)
	ended := make(chan error, 1)
	go func() {
		up, err := m.Up(ctx)
		if err == nil && len(up) != down {
			err = fmt.Errorf("%d migrations, want %d", len(up), down)
		}
		ended <- err
	}()
	w.waitsForLock()
	w.exec("UPDATE outbox.dispatches SET lease_until = lease_until") // it comes through
	if err := dump.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Up when the reader has ended: %v", err)
	}
}
