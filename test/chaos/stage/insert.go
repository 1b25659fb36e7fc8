package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// Job is a job that the stage itself inserts, beside the producers.
type Job struct {
	Do          string   // what the worker does: see worker/obey.go; "" sleeps
	MS          int      // for so long
	Fails       int      // failures before it succeeds
	Plan        []string // of a receiver: see receiver/answer.go
	Want        string   // final status; "" means completed
	Queue       string   // "" means the first of the Options
	Priority    int16
	MaxAttempts int16         // 0 means 25
	Later       time.Duration // run_at is so much after now; all of one Insert have it, or none
	Unwoken     bool          // the transaction wakes no relay, as if its NOTIFY were lost
}

// Insert commits jobs in one transaction and returns their keys.
func (s *Stage) Insert(ctx context.Context, jobs ...Job) ([]string, error) {
	return s.InsertThen(ctx, nil, jobs...)
}

// InsertThen is Insert with a transaction that does something more before it commits;
// nil is nothing.
func (s *Stage) InsertThen(ctx context.Context, then func(context.Context, pgx.Tx) error, jobs ...Job) ([]string, error) {
	acts := make([]history.Act, len(jobs))
	keys := make([]string, len(jobs))
	rows := make([][]any, len(jobs))
	for i, j := range jobs {
		s.mu.Lock()
		s.inserted++
		keys[i] = "stage." + strconv.Itoa(s.inserted)
		s.mu.Unlock()
		j = j.filled(s)
		payload, err := json.Marshal(map[string]any{"key": keys[i], "do": j.Do, "ms": j.MS, "fails": j.Fails, "plan": j.Plan})
		if err != nil {
			return nil, err
		}
		rows[i] = []any{j.Queue, j.Priority, j.MaxAttempts, string(payload)}
		acts[i] = history.Act{Word: history.Offered, Key: keys[i], Priority: j.Priority, Fails: j.Fails, Want: j.Want, Most: j.MaxAttempts}
		if jobs[0].Later > 0 {
			runAt := time.Now().Add(j.Later)
			rows[i], acts[i].Due = append(rows[i], runAt), runAt.UnixMicro()
		}
	}
	tx, err := s.Admin().Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("insert: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	if jobs[0].Unwoken {
		if _, err := tx.Exec(ctx, `SET LOCAL outbox.wake = 'off'`); err != nil {
			return nil, fmt.Errorf("insert: %w", err)
		}
	}
	columns := []string{"queue_name", "priority", "max_attempts", "payload", "run_at"}[:len(rows[0])]
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"outbox", "jobs"}, columns, pgx.CopyFromRows(rows)); err != nil {
		return nil, fmt.Errorf("insert: %w", err)
	}
	if then != nil {
		if err := then(ctx, tx); err != nil {
			return nil, fmt.Errorf("insert: %w", err)
		}
	}
	if err := s.Log.Note(acts...); err != nil {
		return nil, err
	}
	word := history.Committed
	err = tx.Commit(ctx)
	if err != nil {
		word = history.Unknown
	}
	for i := range acts {
		acts[i].Word = word
	}
	if noted := s.Log.Note(acts...); noted != nil {
		return keys, noted
	}
	return keys, err
}

func (j Job) filled(s *Stage) Job {
	if j.Queue == "" {
		j.Queue = s.Options.Queues[0]
	}
	if j.MaxAttempts == 0 {
		j.MaxAttempts = 25
	}
	if j.Want == "" {
		j.Want = "completed"
	}
	return j
}
