package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// shards are a cluster's nodes: three masters, then the replica of each.
type shards struct {
	nodes  []*devstack.Redis
	client *redis.ClusterClient
	slots  map[string]int // of each queue
}

// theShards returns the cluster of a stage, which Prepare made.
func theShards(s *stage.Stage) *shards { return s.Prepared.(*shards) }

func withCluster(ctx context.Context, s *stage.Stage) error {
	user, err := devstack.RedisUserArgs()
	if err != nil {
		return err
	}
	masters, err := devstack.StartRedisCluster(ctx, 3, user...)
	if err != nil {
		return err
	}
	s.Own(masters.Stop)
	c := &shards{nodes: slices.Clone(masters.Nodes()), slots: map[string]int{}}
	for i, master := range masters.Nodes() {
		replica, err := addReplica(ctx, s, i, master, user)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, replica)
	}
	var addrs []string
	for _, node := range c.nodes {
		addrs = append(addrs, node.Addr())
	}
	c.client = redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: addrs, PoolSize: 2, DialTimeout: time.Second, DialerRetries: 1, ReadTimeout: time.Second, ContextTimeoutEnabled: true,
	})
	s.Own(c.client.Close)
	if err := stage.Until(ctx, 30*time.Second, "a cluster of three shards", c.whole); err != nil {
		return err
	}
	var homes []string
	for _, queue := range s.Options.Queues {
		slot, err := c.client.ClusterKeySlot(ctx, "queue:{"+queue+"}").Result()
		if err != nil {
			return err
		}
		c.slots[queue] = int(slot)
		home, err := c.masterOf(ctx, queue)
		if err != nil {
			return err
		}
		if slices.Contains(homes, home.Addr()) {
			return fmt.Errorf("two of the queues %v share a shard", s.Options.Queues)
		}
		homes = append(homes, home.Addr())
	}
	s.Prepared = c
	s.LookRedis(func(context.Context) (redis.UniversalClient, error) { return c.client, nil })
	url := "redis+cluster://" + strings.Join(addrs[:3], ",")
	s.SetRedis(addrs[0], func(string) string { return url })
	return nil
}

// addReplica starts a node and makes it the replica of master.
func addReplica(ctx context.Context, s *stage.Stage, i int, master *devstack.Redis, user []string) (*devstack.Redis, error) {
	bus, err := stage.QuietPort()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(bus)
	if err != nil {
		return nil, err
	}
	replica, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(s.Options.Dir, fmt.Sprint("replica-", i+1)), Args: append([]string{
		"--cluster-enabled", "yes", "--cluster-port", port, "--cluster-node-timeout", "5000",
	}, user...)})
	if err != nil {
		return nil, err
	}
	s.Own(replica.Stop)
	id, host, theirs, err := whoIs(ctx, master)
	if err != nil {
		return nil, err
	}
	return replica, on(replica, func(c *redis.Client) error {
		if err := c.Do(ctx, "CLUSTER", "MEET", host[0], host[1], theirs).Err(); err != nil {
			return fmt.Errorf("meet: %w", err)
		}
		return stage.Until(ctx, 20*time.Second, "a node to be a replica", func(ctx context.Context) (bool, error) {
			err := c.ClusterReplicate(ctx, id).Err() // refused until it has heard of the master
			return err == nil, err
		})
	})
}

// whoIs returns a node's id, host and port, and bus port.
func whoIs(ctx context.Context, node *devstack.Redis) (id string, addr [2]string, bus string, err error) {
	err = on(node, func(c *redis.Client) error {
		text, err := c.ClusterNodes(ctx).Result()
		if err != nil {
			return err
		}
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			if len(words) < 3 || !strings.Contains(words[2], "myself") {
				continue
			}
			at, _, _ := strings.Cut(words[1], ",")
			at, port, _ := strings.Cut(at, "@")
			id, bus = words[0], port
			addr[0], addr[1], err = net.SplitHostPort(at)
			return err
		}
		return errors.New("a node that does not know itself")
	})
	return id, addr, bus, err
}

// whole reports whether every node sees six, and every master has a replica that
// follows it.
func (c *shards) whole(ctx context.Context) (bool, error) {
	for i, node := range c.nodes {
		var info, role string
		if err := on(node, func(c *redis.Client) (err error) {
			if info, err = c.ClusterInfo(ctx).Result(); err != nil {
				return err
			}
			role, err = c.Info(ctx, "replication").Result()
			return err
		}); err != nil {
			return false, err
		}
		want := "role:master"
		if i >= 3 {
			want = "master_link_status:up"
		}
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:6\r\n") || !strings.Contains(role, want) {
			return false, nil
		}
	}
	return true, nil
}

// ownerOf returns the address of the node that, in the eyes of node, owns the slot.
func ownerOf(ctx context.Context, node *devstack.Redis, slot int) (owner string, err error) {
	err = on(node, func(c *redis.Client) error {
		ranges, err := c.ClusterSlots(ctx).Result() //nolint:staticcheck // CLUSTER SHARDS names masters that are gone, too
		for _, r := range ranges {
			if r.Start <= slot && slot <= r.End && len(r.Nodes) > 0 {
				owner = r.Nodes[0].Addr
			}
		}
		return err
	})
	return owner, err
}

// masterOf returns the node that all others take for the owner of the queue's slot.
func (c *shards) masterOf(ctx context.Context, queue string) (*devstack.Redis, error) {
	slot := c.slots[queue]
	owner, err := ownerOf(ctx, c.nodes[0], slot)
	if err != nil {
		return nil, err
	}
	for _, node := range c.nodes {
		if node.Addr() == owner {
			return node, nil
		}
	}
	return nil, fmt.Errorf("slot %d is owned by %q, which is no node of ours", slot, owner)
}

// promoted waits until another node than master owns the queue's slot, in the eyes of
// every node but master.
func (c *shards) promoted(ctx context.Context, queue string, master *devstack.Redis) error {
	slot := c.slots[queue] // master may be the node that would be asked
	return stage.Until(ctx, 60*time.Second, "a replica to be promoted", func(ctx context.Context) (bool, error) {
		for _, node := range c.nodes {
			if node == master {
				continue
			}
			owner, err := ownerOf(ctx, node, slot)
			if err != nil || owner == master.Addr() || owner == "" {
				return false, err
			}
		}
		return true, nil
	})
}

// move moves the queue's slot with all its keys, pausing between the steps.
func (c *shards) move(ctx context.Context, queue string, from, to *devstack.Redis, r *rand.Rand) error {
	slot := c.slots[queue]
	fromID, _, _, err := whoIs(ctx, from)
	if err != nil {
		return err
	}
	toID, toAddr, _, err := whoIs(ctx, to)
	if err != nil {
		return err
	}
	source, target := single(from), single(to)
	defer func() { _, _ = source.Close(), target.Close() }() // nothing is under way
	if err := noError(
		target.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID).Err(),
		source.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID).Err(),
		stage.Sleep(ctx, stage.Between(r, 0, time.Second)),
	); err != nil {
		return fmt.Errorf("begin to move slot %d: %w", slot, err)
	}
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 3).Result()
		if err != nil {
			return fmt.Errorf("keys of slot %d: %w", slot, err)
		}
		if len(keys) == 0 {
			break
		}
		words := []any{"MIGRATE", toAddr[0], toAddr[1], "", 0, 5000, "KEYS"}
		for _, key := range keys {
			words = append(words, key)
		}
		if err := source.Do(ctx, words...).Err(); err != nil {
			return fmt.Errorf("migrate %v: %w", keys, err)
		}
		if err := stage.Sleep(ctx, stage.Between(r, 0, 500*time.Millisecond)); err != nil {
			return err
		}
	}
	if err := target.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err(); err != nil {
		return fmt.Errorf("end the move of slot %d: %w", slot, err)
	}
	return source.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err()
}

func single(node *devstack.Redis) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: node.Addr(), ReadTimeout: 10 * time.Second})
}

// index returns the place of node in nodes.
func index(nodes []*devstack.Redis, node *devstack.Redis) int { return slices.Index(nodes, node) }
