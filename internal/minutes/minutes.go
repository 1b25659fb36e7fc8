// Package minutes counts what a process does, by minute and queue, until Postgres has
// it. Counting takes a mutex and no memory but a row for each queue and minute.
//
// A minute that has ended is written whole, and may be written again: its row says how
// many there were, not how many more. What a process has counted since the last write
// dies with it; a chart can bear that, and jobs do not depend on it.
package minutes

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// mostRows is how many rows wait for a Postgres that is away; then the oldest go.
const mostRows = 10_000

// Store keeps the figures: Postgres.
type Store interface {
	// PutStats writes the rows of one writer. The same row again replaces itself.
	PutStats(ctx context.Context, writer int64, rows []job.Stat) error
}

// Book is one process's count. Its methods are safe for concurrent use.
type Book struct {
	writer int64 // drawn anew for each Book: a process that begins again, under the same name, has other rows

	mu     sync.Mutex
	minute time.Time            // that is being counted; it never goes back
	open   map[string]*job.Stat // of this minute, by queue
	ended  []job.Stat           // that Postgres does not have, the oldest first
}

// New returns an empty Book.
func New() *Book {
	return &Book{writer: job.NewDispatchID(), open: map[string]*job.Stat{}}
}

// Count calls add with the row of queue in the minute of now. add must not keep it.
func (b *Book) Count(now time.Time, queue string, add func(*job.Stat)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turnLocked(now)
	row := b.open[queue]
	if row == nil {
		row = &job.Stat{Minute: b.minute, QueueName: queue}
		b.open[queue] = row
	}
	add(row)
}

// turnLocked ends the minute when now is past it. A clock that was set back counts on
// in the minute it came from: the rows before it may be written already.
func (b *Book) turnLocked(now time.Time) {
	if minute := now.Truncate(time.Minute); minute.After(b.minute) {
		b.endLocked()
		b.minute = minute
	}
}

func (b *Book) endLocked() {
	first := len(b.ended)
	for _, row := range b.open {
		b.ended = append(b.ended, *row)
	}
	clear(b.open)
	slices.SortFunc(b.ended[first:], func(x, y job.Stat) int { return cmp.Compare(x.QueueName, y.QueueName) })
	if over := len(b.ended) - mostRows; over > 0 {
		b.ended = slices.Delete(b.ended, 0, over)
	}
}

// Write writes the minutes that have ended by now. What could not be written stays for
// the next time. One call at a time.
func (b *Book) Write(ctx context.Context, s Store, now time.Time) error {
	b.mu.Lock()
	b.turnLocked(now)
	rows := slices.Clone(b.ended)
	b.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	if err := s.PutStats(ctx, b.writer, rows); err != nil {
		return err
	}
	last := rows[len(rows)-1].Minute
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = slices.DeleteFunc(b.ended, func(r job.Stat) bool { return !r.Minute.After(last) })
	return nil
}

// Close writes what there is, the present minute included. What is counted later is
// not written.
func (b *Book) Close(ctx context.Context, s Store) error {
	b.mu.Lock()
	b.endLocked()
	now := b.minute
	b.mu.Unlock()
	return b.Write(ctx, s, now)
}
