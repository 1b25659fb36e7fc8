package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// shardQueues lie on three different shards, in this order.
var shardQueues = []string{"email:opens", "email:sending", "email:welcome"}

// othersWait is the longest that a job may wait whose queue has nothing to do with a
// shard that begins to hang: the deadlines of a relay's push to it (5 s) and of a
// worker's take from it (3 s), before both leave it aside. It should be nothing.
const othersWait = 10 * time.Second

// clusterFaults play on a Redis Cluster of three masters and three replicas, with a
// queue on each shard. Processes reach it past the links.
func clusterFaults() []Fault {
	all := []Fault{
		{
			Name: "cluster-kill-master", Says: "a master is killed and its replica promoted (cluster-node-timeout 5 s), in the middle of jobs of 15 to 40 s and a backlog; the old master comes back as a replica. Both count from the promotion",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return shardWorn(ctx, s, r, killShard)
			},
			NewWork: lostFlows, Back: lostBack,
		},
		{
			Name: "cluster-freeze-master", Says: "a master stands still (SIGSTOP) until its replica is promoted, and wakes as a second master until it is told. Both count from the promotion",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return shardWorn(ctx, s, r, freezeShard)
			},
			NewWork: lostFlows, Back: lostBack,
		},
		{
			Name: "cluster-move-slot", Says: "the slot of a queue moves to another master (SETSLOT, MIGRATE) and back, under load and with a backlog: what was in its window goes round once more, nothing runs again. Both count from each arrival",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return shardWorn(ctx, s, r, moveThereAndBack)
			},
			NewWork: lostFlows, Back: 2 * lostBack,
		},
		{
			Name: "cluster-hang-shard", Says: "a master stands still (SIGSTOP) for 20 s and nobody is promoted: the queues of the other shards wait for a push's and a take's deadline at most. Both count from its return",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Mix, o.Rate = "quick", 60 },
			Inject:  hangShard, Check: othersUnmoved,
			NewWork: lostFlows, Back: lostBack,
		},
	}
	for i := range all {
		all[i].Family, all[i].Long, all[i].Prepare = "cluster", true, withCluster
		all[i].Check = both(apart, all[i].Check)
		options := all[i].Options
		all[i].Options = func(o *stage.Options, r *rand.Rand) {
			o.Queues = shardQueues
			if options != nil {
				options(o, r)
			}
		}
	}
	return all
}

// shardWorn plays a fault of the shard of one queue while jobs run and wait.
func shardWorn(ctx context.Context, s *stage.Stage, r *rand.Rand, play func(ctx context.Context, s *stage.Stage, r *rand.Rand, queue string) error) error {
	queue := pick(r, shardQueues)
	if err := longJobs(ctx, s, r); err != nil {
		return err
	}
	if err := backlog(ctx, s, r, 300); err != nil {
		return err
	}
	if err := play(ctx, s, r, queue); err != nil {
		return err
	}
	return stage.Sleep(ctx, 3*time.Second)
}

func killShard(ctx context.Context, s *stage.Stage, r *rand.Rand, queue string) error {
	master, err := theShards(s).masterOf(ctx, queue)
	if err != nil {
		return err
	}
	lift := redisLost(s)
	if err := master.Signal(kill); err != nil {
		return err
	}
	if err := theShards(s).promoted(ctx, queue, master); err != nil {
		return err
	}
	lift()
	if err := stage.Sleep(ctx, stage.Between(r, 0, 4*time.Second)); err != nil {
		return err
	}
	return master.Restart(ctx)
}

func freezeShard(ctx context.Context, s *stage.Stage, r *rand.Rand, queue string) error {
	master, err := theShards(s).masterOf(ctx, queue)
	if err != nil {
		return err
	}
	lift := redisLost(s)
	if err := master.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	failed := theShards(s).promoted(ctx, queue, master)
	lift()
	slept := stage.Sleep(ctx, stage.Between(r, 0, 6*time.Second))
	if err := master.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return slept
}

// hangShard has one shard hang and measures the others from their rows.
func hangShard(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	for _, node := range theShards(s).nodes {
		if err := on(node, func(c *redis.Client) error {
			// Without a promotion the shard counts as failed, which must not stop the others.
			return noError(c.ConfigSet(ctx, "cluster-require-full-coverage", "no").Err(), c.ConfigSet(ctx, "cluster-replica-no-failover", "yes").Err())
		}); err != nil {
			return fmt.Errorf("configure node: %w", err)
		}
	}
	queue := pick(r, shardQueues)
	master, err := theShards(s).masterOf(ctx, queue)
	if err != nil {
		return err
	}
	calm, err := slowest(ctx, s, queue, 3*time.Second)
	if err != nil {
		return err
	}
	lift := s.Fault(history.RedisAway)
	if err := master.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	others, err := slowest(ctx, s, queue, 20*time.Second)
	if woken := master.Signal(syscall.SIGCONT); woken != nil {
		return woken
	}
	lift()
	if err != nil {
		return err
	}
	if err := s.Log.Note(history.Act{Word: waited, How: "before", Depth: int64(calm)}, history.Act{Word: waited, How: "meanwhile", Depth: int64(others)}); err != nil {
		return err
	}
	return stage.Sleep(ctx, 5*time.Second)
}

// waited is an act of our own: how long the slowest job waited.
const waited history.Word = "waited"

func othersUnmoved(f *verify.Facts, found *verify.Report) {
	for _, a := range f.Acts {
		if a.Word != waited {
			continue
		}
		found.Note("slowest job of the other shards' queues %s: %.2f s", a.How, time.Duration(a.Depth).Seconds())
		if a.How == "meanwhile" && time.Duration(a.Depth) > othersWait {
			found.Add("shards: a job of another shard's queue waited %s", time.Duration(a.Depth))
		}
	}
}

// slowest returns how long the slowest job, by Postgres' clock, was under way that was
// inserted into one of the other queues in the next d.
func slowest(ctx context.Context, s *stage.Stage, queue string, d time.Duration) (time.Duration, error) {
	var from time.Time
	if err := s.Admin().QueryRow(ctx, `SELECT now()`).Scan(&from); err != nil {
		return 0, err
	}
	if err := stage.Sleep(ctx, d); err != nil {
		return 0, err
	}
	var seconds float64
	err := s.Admin().QueryRow(ctx, `SELECT coalesce(max(extract(epoch FROM coalesce(finished_at, now()) - created_at)), 0)::float8
		FROM outbox.jobs WHERE queue_name <> $1 AND created_at > $2`, queue, from).Scan(&seconds)
	return time.Duration(seconds * float64(time.Second)), err
}

// moveThereAndBack moves the queue's slot to the next master, and back.
func moveThereAndBack(ctx context.Context, s *stage.Stage, r *rand.Rand, queue string) error {
	c := theShards(s)
	home, err := c.masterOf(ctx, queue)
	if err != nil {
		return err
	}
	away := c.nodes[(r.IntN(2)+1+index(c.nodes[:3], home))%3]
	for _, way := range [][2]int{{0, 1}, {1, 0}} {
		ends := []int{index(c.nodes, home), index(c.nodes, away)}
		lift := redisLost(s)
		if err := c.move(ctx, queue, c.nodes[ends[way[0]]], c.nodes[ends[way[1]]], r); err != nil {
			return err
		}
		lift()
		if err := stage.Sleep(ctx, stage.Between(r, time.Second, 8*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// noError returns the first error.
func noError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
