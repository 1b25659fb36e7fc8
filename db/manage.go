package db

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Cancel calls a job off; false: it was over already. [job.ErrNotFound]: there is no
// such job. See outbox.cancel.
func (s *Store) Cancel(ctx context.Context, id int64) (done bool, err error) {
	err = s.seeing(ctx, "cancel", func(q *query.Queries) error {
		done, err = q.CancelJob(ctx, id)
		return err
	})
	return done, err
}

// Redrive sends a job that is over again; false: it is on its way. [job.ErrNotFound]:
// there is no such job. See outbox.redrive.
func (s *Store) Redrive(ctx context.Context, id int64) (done bool, err error) {
	err = s.seeing(ctx, "redrive", func(q *query.Queries) error {
		done, err = q.RedriveJob(ctx, id)
		return err
	})
	return done, err
}

// Delete forgets a job that is over, with its attempts and its dead letter; false: it
// is on its way, and nothing was deleted. [job.ErrNotFound]: there is no such job. See
// outbox.delete.
func (s *Store) Delete(ctx context.Context, id int64) (done bool, err error) {
	err = s.seeing(ctx, "delete", func(q *query.Queries) error {
		done, err = q.DeleteJob(ctx, id)
		return err
	})
	return done, err
}

// Clone inserts a job with the queue, kind, payload, headers, priority and max_attempts
// of another, whatever that one's status, due now, and returns its id, or
// [job.ErrNotFound]. Sent again it inserts another one: after a lost answer the clone
// may exist unless the error wraps [job.ErrNotInserted].
func (s *Store) Clone(ctx context.Context, id int64) (clone int64, err error) {
	err = s.seeing(ctx, "clone", func(q *query.Queries) error {
		clone, err = q.CloneJob(ctx, id)
		return err
	})
	return clone, err
}

// Processes lists relays and workers, at most [job.MaxProcesses], by role and then by
// age; an empty role means both. Bad input is a [*job.FieldError].
func (s *Store) Processes(ctx context.Context, role string) ([]job.ProcessState, error) {
	if role != "" && role != "relay" && role != "worker" {
		return nil, &job.FieldError{Field: "role", Problem: fmt.Sprintf("is %.40q, must be relay, worker or client", role)}
	}
	out := []job.ProcessState{}
	err := s.seeing(ctx, "list processes", func(q *query.Queries) error {
		rows, err := q.ListProcesses(ctx, query.ListProcessesParams{Role: role, MaxProcesses: job.MaxProcesses})
		out = make([]job.ProcessState, len(rows))
		for i, r := range rows {
			out[i] = job.ProcessState{
				ID: r.ID, Role: r.Role, Host: r.Host, PID: int(r.Pid), StartedAt: r.StartedAt, BeatAt: r.BeatAt, RedisAt: r.RedisAt,
				BeatAge: milliseconds(r.BeatAgeMs), RedisAge: -1, Epochs: map[string]int64{}, Quiet: r.Quiet,
			}
			if r.RedisAt != nil {
				out[i].RedisAge = milliseconds(r.RedisAgeMs)
			}
			_ = json.Unmarshal(r.Epochs, &out[i].Epochs) // what a process did not write itself is left out
		}
		return err
	})
	return out, err
}

// SetQuiet has a worker take no more jobs, or take them again, from its next beat on, and
// records who said so. [job.ErrNotFound]: no worker has this id.
func (s *Store) SetQuiet(ctx context.Context, who job.Actor, id string, quiet bool) error {
	return s.changing(ctx, "quiet", func(q *query.Queries) (job.Change, bool, error) {
		n, err := q.SetQuiet(ctx, query.SetQuietParams{ID: id, Quiet: quiet})
		if err == nil && n == 0 {
			err = pgx.ErrNoRows
		}
		return who.Did("worker.quiet", id, "", map[string]bool{"quiet": quiet}), err == nil, err
	})
}
