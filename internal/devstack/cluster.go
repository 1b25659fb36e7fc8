package devstack

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisCluster is a private Redis Cluster of masters without replicas.
type RedisCluster struct {
	nodes []*Redis
}

// slots is how many hash slots a Redis Cluster has.
const slots = 16384

// StartRedisCluster starts masters servers (Redis wants at least 3), shares the
// hash slots out evenly among them, and returns when every one of them says that
// the cluster is up, which takes one to three seconds. args are more
// arguments for each server.
func StartRedisCluster(ctx context.Context, masters int, args ...string) (*RedisCluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	c := &RedisCluster{}
	for range masters {
		node, err := startNode(ctx, args)
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		c.nodes = append(c.nodes, node)
	}
	if err := c.join(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start redis cluster: %w", err), c.Stop())
	}
	return c, nil
}

// startNode starts a server that is a cluster of its own, on two free ports.
func startNode(ctx context.Context, args []string) (*Redis, error) {
	var failed error
	for range 5 {
		bus, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		node, err := StartRedis(ctx, RedisOptions{Args: append([]string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "5000",
		}, args...)})
		if err == nil || ctx.Err() != nil || portFree(ctx, bus) {
			return node, err
		}
		failed = err // the bus port was taken meanwhile
	}
	return nil, failed
}

// join deals out the slots and introduces every node to the first.
func (c *RedisCluster) join(ctx context.Context) error {
	clients := make([]*redis.Client, len(c.nodes))
	for i, node := range c.nodes {
		clients[i] = redis.NewClient(&redis.Options{Addr: node.Addr(), PoolSize: 1})
		defer func() { _ = clients[i].Close() }()
	}
	for i, client := range clients {
		from, to := i*slots/len(clients), (i+1)*slots/len(clients)-1
		if err := client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return fmt.Errorf("set config epoch: %w", err)
		}
		if err := client.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
			return fmt.Errorf("add slots: %w", err)
		}
		if i == 0 {
			continue
		}
		first := c.nodes[0]
		bus := first.options.Args[3]
		if err := client.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", first.port, bus).Err(); err != nil {
			return fmt.Errorf("meet: %w", err)
		}
	}
	for i, client := range clients {
		up := func() bool { return clusterUp(ctx, client, len(clients)) }
		if err := c.nodes[i].proc.await(ctx, c.nodes[i].folder, up); err != nil {
			return err
		}
	}
	return nil
}

// clusterUp reports whether this node sees all masters, and all slots served.
func clusterUp(ctx context.Context, client *redis.Client, masters int) bool {
	asked, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := client.ClusterInfo(asked).Result()
	return err == nil && strings.Contains(info, "cluster_state:ok\r\n") &&
		strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r\n", masters)) &&
		strings.Contains(info, fmt.Sprintf("cluster_size:%d\r\n", masters))
}

// Addrs returns host and port of every master.
func (c *RedisCluster) Addrs() []string {
	addrs := make([]string, len(c.nodes))
	for i, node := range c.nodes {
		addrs[i] = node.Addr()
	}
	return addrs
}

// Nodes returns the servers, to stop or restart single ones.
func (c *RedisCluster) Nodes() []*Redis { return c.nodes }

// Stop ends all servers and removes their folders.
func (c *RedisCluster) Stop() error {
	var errs []error
	for _, node := range c.nodes {
		errs = append(errs, node.Stop())
	}
	return errors.Join(errs...)
}
