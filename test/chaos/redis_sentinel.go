package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// failover is a master, a replica and three sentinels (quorum 2, down after 1 s), and
// what makes the sentinels promote the replica.
type failover struct {
	lag  time.Duration // how far behind the replica is, at most
	play func(ctx context.Context, s *stage.Stage, g *guarded, r *rand.Rand) error
	o    func(o *stage.Options, r *rand.Rand)
}

// sentinelFaults are real failovers by real sentinels. Processes reach Redis through
// them, past the links.
func sentinelFaults() []Fault {
	fault := func(name, says string, f failover) Fault {
		return Fault{
			Name: name, Long: true, Options: f.o, Prepare: withSentinels, Inject: f.inject,
			Says:    "Sentinel: " + says + ", in the middle of jobs of 15 to 40 s and a backlog. Both count from the moment the sentinels name the new master",
			NewWork: lostFlows, Back: lostBack,
		}
	}
	return []Fault{
		fault("sentinel-lag", "the replica is cut off from the master for 2 to 6 s of load, then the master is killed: the new master lacks those seconds", failover{lag: 6 * time.Second, play: killMaster}),
		fault("sentinel-kill", "the master is killed, the replica is as good as up to date", failover{play: killMaster}),
		fault("sentinel-switch", "SENTINEL FAILOVER by hand: the old master serves until it is told", failover{play: switchMaster}),
		fault("sentinel-freeze", "the master stands still (SIGSTOP) for 6 to 15 s and wakes as a second master, which lags by 0 to 3 s, until the sentinels tell it", failover{lag: 3 * time.Second, play: freezeMaster}),
	}
}

// guarded is the pair and its sentinels.
type guarded struct {
	master, replica *devstack.Redis
	sentinels       []string // addresses
}

const masterName = "mymaster"

// guard returns the pair of a stage, which Prepare made.
func guard(s *stage.Stage) *guarded { return s.Prepared.(*guarded) }

func withSentinels(ctx context.Context, s *stage.Stage) error {
	g := &guarded{master: s.RedisServer()}
	user, err := devstack.RedisUserArgs()
	if err != nil {
		return err
	}
	if g.replica, err = devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(s.Options.Dir, "replica"), Args: user}); err != nil {
		return err
	}
	s.Own(g.replica.Stop)
	host, port, err := net.SplitHostPort(g.master.Addr())
	if err != nil {
		return err
	}
	if err := on(g.replica, func(c *redis.Client) error { return c.ReplicaOf(ctx, host, port).Err() }); err != nil {
		return fmt.Errorf("make a replica: %w", err)
	}
	for i := range 3 {
		addr, err := startSentinel(s, fmt.Sprintf("sentinel-%d", i+1), host, port)
		if err != nil {
			return err
		}
		g.sentinels = append(g.sentinels, addr)
	}
	if err := stage.Until(ctx, 30*time.Second, "sentinels to know the replica and each other", g.ready); err != nil {
		return err
	}
	s.Prepared = g
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: masterName, SentinelAddrs: g.sentinels, PoolSize: 4, MaxRetries: 1, DialerRetries: 1,
		ReadTimeout: time.Second, DialTimeout: time.Second, ContextTimeoutEnabled: true,
	})
	s.Own(client.Close)
	s.LookRedis(func(context.Context) (redis.UniversalClient, error) { return client, nil })
	url := "redis+sentinel://" + strings.Join(g.sentinels, ",") + "/" + masterName
	s.SetRedis(g.master.Addr(), func(string) string { return url })
	return nil
}

// startSentinel starts one that watches the master.
func startSentinel(s *stage.Stage, name, host, port string) (addr string, err error) {
	if addr, err = stage.QuietPort(); err != nil {
		return "", err
	}
	_, own, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	conf := filepath.Join(s.Options.Dir, name+".conf") // it rewrites it
	text := fmt.Sprintf("port %[1]s\nbind 127.0.0.1\ndir %[2]s\nsentinel monitor %[3]s %[4]s %[5]s 2\n"+
		"sentinel down-after-milliseconds %[3]s 1000\nsentinel failover-timeout %[3]s 10000\n",
		own, s.Options.Dir, masterName, host, port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return "", err
	}
	return addr, s.Helper(name, "redis-server", conf, "--sentinel")
}

// ready reports whether every sentinel sees a master, its replica and both others.
func (g *guarded) ready(ctx context.Context) (bool, error) {
	for _, addr := range g.sentinels {
		info, err := ask(ctx, addr)
		if err != nil {
			return false, err
		}
		if info["flags"] != "master" || info["num-slaves"] != "1" || info["num-other-sentinels"] != "2" {
			return false, fmt.Errorf("sentinel %s: flags %s, %s replicas, %s others", addr, info["flags"], info["num-slaves"], info["num-other-sentinels"])
		}
	}
	synced := false
	err := on(g.replica, func(c *redis.Client) error {
		info, err := c.Info(ctx, "replication").Result()
		synced = strings.Contains(info, "master_link_status:up")
		return err
	})
	return synced, err
}

func ask(ctx context.Context, sentinel string) (map[string]string, error) {
	c := redis.NewSentinelClient(&redis.Options{Addr: sentinel, DialTimeout: time.Second, ReadTimeout: time.Second})
	defer func() { _ = c.Close() }() // nothing is under way
	return c.Master(ctx, masterName).Result()
}

// on calls do with a client of one server.
func on(server *devstack.Redis, do func(c *redis.Client) error) error {
	c := redis.NewClient(&redis.Options{Addr: server.Addr(), DialTimeout: time.Second, ReadTimeout: 2 * time.Second})
	defer func() { _ = c.Close() }() // nothing is under way
	return do(c)
}

func (f failover) inject(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	g := guard(s)
	if err := longJobs(ctx, s, r); err != nil {
		return err
	}
	if f.lag > 0 {
		if err := g.lag(ctx); err != nil {
			return err
		}
		if err := stage.Sleep(ctx, stage.Between(r, f.lag/3, f.lag)); err != nil {
			return err
		}
	}
	if err := backlog(ctx, s, r, 300); err != nil {
		return err
	}
	lift := redisLost(s)
	if err := f.play(ctx, s, g, r); err != nil {
		return err
	}
	lift()
	return stage.Sleep(ctx, 3*time.Second)
}

// lag cuts the replica off, for as long as it is one: with a password that the master
// has not, it cannot connect again. Freezing it would not do, the kernel would keep
// what the master sends and give it to it afterwards.
func (g *guarded) lag(ctx context.Context) error {
	if err := on(g.replica, func(c *redis.Client) error { return c.ConfigSet(ctx, "masterauth", "nonsense").Err() }); err != nil {
		return fmt.Errorf("make the replica lag: %w", err)
	}
	return on(g.master, func(c *redis.Client) error { return c.Do(ctx, "CLIENT", "KILL", "TYPE", "replica").Err() })
}

// promoted waits until every sentinel names the replica the master, and it is one.
func (g *guarded) promoted(ctx context.Context) error {
	return stage.Until(ctx, 40*time.Second, "the replica to be the master", func(ctx context.Context) (bool, error) {
		for _, addr := range g.sentinels {
			info, err := ask(ctx, addr)
			if err != nil {
				return false, err
			}
			if net.JoinHostPort(info["ip"], info["port"]) != g.replica.Addr() {
				return false, nil
			}
		}
		master := false
		err := on(g.replica, func(c *redis.Client) error {
			info, err := c.Info(ctx, "replication").Result()
			master = strings.Contains(info, "role:master")
			return err
		})
		return master, err
	})
}

func killMaster(ctx context.Context, s *stage.Stage, g *guarded, _ *rand.Rand) error {
	if err := killRedis(ctx, s); err != nil {
		return err
	}
	return g.promoted(ctx)
}

func switchMaster(ctx context.Context, _ *stage.Stage, g *guarded, _ *rand.Rand) error {
	c := redis.NewSentinelClient(&redis.Options{Addr: g.sentinels[0]})
	defer func() { _ = c.Close() }() // nothing is under way
	if err := c.Failover(ctx, masterName).Err(); err != nil {
		return fmt.Errorf("failover: %w", err)
	}
	return g.promoted(ctx)
}

// freezeMaster ends with two masters for as long as the sentinels need to make the old
// one a replica; who is connected to it goes on with it.
func freezeMaster(ctx context.Context, s *stage.Stage, g *guarded, r *rand.Rand) error {
	end := time.Now().Add(stage.Between(r, 6*time.Second, 15*time.Second))
	if err := s.RedisServer().Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	failed := g.promoted(ctx)
	slept := stage.Sleep(ctx, time.Until(end))
	if err := s.RedisServer().Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return slept
}
