package minutes

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// table is what Postgres keeps: a row by its key, whoever wrote it last.
type table struct {
	fails error
	lose  bool // the answer
	rows  map[string]int64
	puts  int
}

func (f *table) PutStats(_ context.Context, writer int64, rows []job.Stat) error {
	if f.fails != nil {
		return f.fails
	}
	f.puts++
	for _, r := range rows {
		f.rows[r.Minute.UTC().Format("15:04 ")+r.QueueName] = r.Completed
	}
	if writer == 0 {
		return errors.New("writer 0")
	}
	if f.lose {
		return job.ErrUnavailable
	}
	return nil
}

func newTable() *table { return &table{rows: map[string]int64{}} }

func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-11-26 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func (f *table) want(t *testing.T, want map[string]int64) {
	t.Helper()
	if diff := cmp.Diff(want, f.rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func completed(s *job.Stat) { s.Completed++ }

func TestBook_WritesMinutesThatHaveEnded(t *testing.T) {
	b, f := New(), newTable()
	b.Count(at("10:00:01"), "a", completed)
	b.Count(at("10:00:59"), "a", completed)
	b.Count(at("10:00:59"), "b", completed)
	if err := b.Write(t.Context(), f, at("10:00:59")); err != nil || f.puts != 0 {
		t.Fatalf("Write within the minute = %v, %d calls, want none", err, f.puts)
	}
	b.Count(at("10:01:00"), "a", completed)
	if err := b.Write(t.Context(), f, at("10:01:00")); err != nil {
		t.Fatal(err)
	}
	f.want(t, map[string]int64{"10:00 a": 2, "10:00 b": 1})
	if err := b.Write(t.Context(), f, at("10:01:30")); err != nil || f.puts != 1 {
		t.Errorf("Write again = %v, %d calls, want nothing to write", err, f.puts)
	}
	if err := b.Close(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	f.want(t, map[string]int64{"10:00 a": 2, "10:00 b": 1, "10:01 a": 1})
}

func TestBook_CountsOnceWhenTheAnswerIsLost(t *testing.T) {
	b, f := New(), newTable()
	b.Count(at("10:00:00"), "a", completed)
	f.lose = true
	if err := b.Write(t.Context(), f, at("10:01:00")); !errors.Is(err, job.ErrUnavailable) {
		t.Fatalf("Write = %v, want ErrUnavailable", err)
	}
	f.lose = false
	if err := b.Write(t.Context(), f, at("10:01:10")); err != nil || f.puts != 2 {
		t.Fatalf("Write again = %v, %d calls, want 2", err, f.puts)
	}
	f.want(t, map[string]int64{"10:00 a": 1})
}

func TestBook_ClockSetBackDoesNotTouchWrittenMinutes(t *testing.T) {
	b, f := New(), newTable()
	b.Count(at("10:00:00"), "a", completed)
	b.Count(at("10:01:00"), "a", completed)
	if err := b.Write(t.Context(), f, at("10:01:00")); err != nil {
		t.Fatal(err)
	}
	b.Count(at("09:59:00"), "a", completed)
	if err := b.Close(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	f.want(t, map[string]int64{"10:00 a": 1, "10:01 a": 2})
}

func TestBook_IsBoundedWhilePostgresIsAway(t *testing.T) {
	b, f := New(), newTable()
	f.fails = job.ErrUnavailable
	for i := range mostRows + 2 {
		b.Count(at("00:00:00").Add(time.Duration(i)*time.Minute), "a", completed)
	}
	if err := b.Write(t.Context(), f, at("00:00:00")); !errors.Is(err, job.ErrUnavailable) {
		t.Fatalf("Write = %v, want ErrUnavailable", err)
	}
	if err := b.Close(t.Context(), f); err == nil {
		t.Fatal("Close with Postgres away says nothing")
	}
	if len(b.ended) != mostRows {
		t.Fatalf("%d rows wait, want %d", len(b.ended), mostRows)
	}
	if !slices.IsSortedFunc(b.ended, func(x, y job.Stat) int { return x.Minute.Compare(y.Minute) }) || b.ended[0].Minute.Equal(at("00:00:00")) {
		t.Errorf("the oldest row is %s, want that the oldest went", b.ended[0].Minute)
	}
}

func TestBook_TwoOfOneProcessHaveTheirOwnRows(t *testing.T) {
	if a, b := New(), New(); a.writer == b.writer || a.writer == 0 {
		t.Errorf("writers %d and %d, want two", a.writer, b.writer)
	}
}
