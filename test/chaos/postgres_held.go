package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// heldFor is how long a transaction is forgotten.
const heldFor = time.Minute

// bystander is how long the outcome of one job may wait because of another's trouble.
const bystander = 5 * time.Second

// postgresHeld are transactions that somebody has left open.
func postgresHeld() []Fault {
	return []Fault{
		{
			Name: "old-snapshot", Family: "postgres", Long: true,
			Says: "a reader's snapshot is held for a minute under load: outcomes are written within 5 s all the time; nothing runs again",
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Fault(history.Other)()
				return inTransaction(ctx, s, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
						return err
					}
					if _, err := tx.Exec(ctx, `SELECT count(*) FROM outbox.ready`); err != nil {
						return err
					}
					return stage.Sleep(ctx, heldFor)
				})
			},
			Check: func(f *verify.Facts, found *verify.Report) { checkBystanders(f, found, "") },
		},
		rowLocked("row-locked-queued", "waits to be handed out", `SELECT status FROM outbox.jobs WHERE payload ->> 'key' = $1 FOR UPDATE`, 0),
		rowLocked("row-locked-running", "runs", `SELECT status FROM outbox.jobs WHERE payload ->> 'key' = $1 AND status = 'running' FOR UPDATE`, 3000),
		{
			Name: "commit-late", Family: "postgres", Long: true,
			Says:    "a transaction with ten jobs commits a minute after its inserts, under load, and they begin within 1.2 s. New work: from its commit",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Rate = 40 },
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Fault(history.Other)()
				_, err := s.InsertThen(ctx, func(ctx context.Context, _ pgx.Tx) error { return stage.Sleep(ctx, heldFor) }, make([]stage.Job, 10)...)
				return err
			},
			Check:   func(f *verify.Facts, found *verify.Report) { found.Recovery.NewWork = waitedFor(f, "stage.") },
			NewWork: lostNotify,
		},
	}
}

// rowLocked locks one job's row for a minute, in a transaction with an id of its own:
// that job waits, and no other does.
func rowLocked(name, says, lock string, ms int) Fault {
	return Fault{
		Name: name, Family: "postgres", Long: true,
		Says: "a writer holds the row lock of a job that " + says + " for a minute: that one waits, the others' outcomes are written within 5 s; nothing runs again",
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			defer s.Fault(history.Other)()
			return inTransaction(ctx, s, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `SELECT pg_current_xact_id()`); err != nil {
					return err
				}
				var keys []string
				var err error
				if ms == 0 {
					// Locked before it can be handed out: the row is there at the commit.
					keys, err = s.InsertThen(ctx, nil, stage.Job{Later: 3 * time.Second})
				} else {
					keys, err = s.Insert(ctx, stage.Job{MS: ms})
				}
				if err != nil {
					return err
				}
				if err := stage.Until(ctx, 10*time.Second, "the row's lock", func(ctx context.Context) (bool, error) {
					tag, err := tx.Exec(ctx, lock, keys[0])
					return tag.RowsAffected() == 1, err
				}); err != nil {
					return err
				}
				return stage.Sleep(ctx, heldFor+stage.Between(r, 0, 2*time.Second))
			})
		},
		Check: func(f *verify.Facts, found *verify.Report) { checkBystanders(f, found, "stage.1") },
	}
}

// checkBystanders wants every outcome written soon after its handler returned, but
// that of one job. Moments in which nobody changed any job, as when the machine stands
// still, are not counted.
func checkBystanders(f *verify.Facts, found *verify.Report, but string) {
	returned := map[string]int64{} // by id and dispatch: wall clock
	keys := map[int64]string{}
	for _, j := range f.Jobs {
		keys[j.ID] = j.Key
	}
	for _, a := range f.Acts {
		if a.Word == history.Finished && a.How == "ok" {
			returned[fmt.Sprint(a.ID, " ", a.Dispatch)] = a.Wall
		}
	}
	var slowest time.Duration
	var who int64
	for _, c := range f.Changes {
		at, ok := returned[fmt.Sprint(c.ID, " ", c.WasDispatch)]
		if !ok || c.Becomes != "completed" || but != "" && keys[c.ID] == but {
			continue
		}
		if d := time.Duration(c.At-at-stillness(f, at, c.At)) * time.Microsecond; d > slowest {
			slowest, who = d, c.ID
		}
	}
	if slowest > bystander {
		found.Add("held up: the outcome of job %d waited %s because of another's row", who, slowest.Round(time.Millisecond))
	}
}

// stillness returns for how many µs between two moments no job was changed, as far as
// that lasted for a second or more. One job's trouble stops one worker at most.
func stillness(f *verify.Facts, from, to int64) (total int64) {
	if to-from < bystander.Microseconds() {
		return 0 // not worth the search
	}
	last := from
	for _, c := range f.Changes { // in order of time, but for moments
		if c.At <= last || c.At > to {
			continue
		}
		if gap := c.At - last; gap >= time.Second.Microseconds() {
			total += gap
		}
		last = c.At
	}
	return total
}

// waitedFor returns the longest wait from commit to first start of the jobs whose keys
// begin with prefix, from the time of the commit's return.
func waitedFor(f *verify.Facts, prefix string) (longest time.Duration) {
	committed := map[string]int64{}
	for _, a := range f.Acts { // in order of time
		if len(a.Key) < len(prefix) || a.Key[:len(prefix)] != prefix {
			continue
		}
		switch at, known := committed[a.Key]; {
		case a.Word == history.Committed:
			committed[a.Key] = a.Mono
		case a.Word == history.Started && known:
			longest = max(longest, time.Duration(a.Mono-at))
			delete(committed, a.Key)
		}
	}
	return longest
}
