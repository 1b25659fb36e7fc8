package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// auditFaults take copies away behind everybody's back. In every other run the audit
// must find nothing: what it says when it does is looked for in every log.
func auditFaults() []Fault {
	return []Fault{
		auditFinds("audit-finds", "", ""),
		auditFinds("relay-kill-after-entomb", "relay.after_entomb", "; the relay that found them is killed before it has handed them out again"),
	}
}

// taken is how many copies somebody deletes.
const taken = 5

func auditFinds(name, point, says string) Fault {
	return Fault{
		Name: name, Family: "relay", Long: true, Tolerates: "unless somebody deletes keys there",
		Says: "5 of 60 waiting copies are deleted from Redis by hand, without any worker: the audit finds them (lease 2 s)" + says + ".",
		Options: func(o *stage.Options, _ *rand.Rand) {
			o.Producers, o.Workers, o.Lease, o.Queues = 0, 0, 2*time.Second, []string{"email:processing"}
		},
		Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
			if point != "" { // both are armed, and both may die, once
				for _, p := range s.Processes(stage.Relay) {
					if err := rearm(p, point); err != nil {
						return err
					}
				}
				defer s.Supervise(ctx, stage.Relay, time.Second)()
			}
			if err := deleteCopies(ctx, s); err != nil {
				return err
			}
			if err := stage.Until(ctx, 2*time.Minute, "the audit's find", func(ctx context.Context) (bool, error) {
				var found int
				err := s.Admin().QueryRow(ctx, `SELECT count(DISTINCT job_id) FROM chaos.changes WHERE was = 'dispatched' AND becomes = 'queued'`).Scan(&found)
				return found >= taken, err
			}); err != nil {
				return err
			}
			if point != "" && s.Processes(stage.Relay)[0].Lives()+s.Processes(stage.Relay)[1].Lives() == 4 {
				return errors.New("no relay was killed")
			}
			_, err := s.Start(stage.Worker, "worker-late")
			return err
		},
		Check: func(f *verify.Facts, found *verify.Report) {
			back := map[int64]bool{}
			for _, c := range f.Changes {
				if c.Was == "dispatched" && c.Becomes == "queued" {
					back[c.ID] = true
				}
			}
			if len(back) != taken {
				found.Add("audit: %d jobs were handed out again, %d were deleted", len(back), taken)
			}
		},
	}
}

// deleteCopies inserts jobs, waits until they are in Redis, and deletes some.
func deleteCopies(ctx context.Context, s *stage.Stage) error {
	if _, err := s.Insert(ctx, make([]stage.Job, 60)...); err != nil {
		return err
	}
	const list = "queue:{email:processing}:high" // priority 0
	if err := stage.Until(ctx, 30*time.Second, "60 copies in redis", func(ctx context.Context) (bool, error) {
		n, err := s.RedisAdmin().LLen(ctx, list).Result()
		return n == 60, err
	}); err != nil {
		return err
	}
	return s.RedisAdmin().LPopCount(ctx, list, taken).Err()
}
