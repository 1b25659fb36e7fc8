package redisq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// sentinel watches a master and returns its address.
func sentinel(t *testing.T, master *devstack.Redis) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(addr)
	host, masterPort, _ := net.SplitHostPort(master.Addr())
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor mymaster %s %s 1\nsentinel down-after-milliseconds mymaster 1000\n", port, host, masterPort)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", conf, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return addr
}

func TestSentinel_FailoverIsAnotherLife(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	master, replica := devtest.RedisServer(t), devtest.RedisServer(t)
	second := redis.NewClient(&redis.Options{Addr: replica.Addr()})
	defer func() { _ = second.Close() }()
	host, port, _ := net.SplitHostPort(master.Addr())
	if err := second.ReplicaOf(ctx, host, port).Err(); err != nil {
		t.Fatal(err)
	}
	addr := sentinel(t, master)
	watch := redis.NewSentinelClient(&redis.Options{Addr: addr})
	defer func() { _ = watch.Close() }()
	devtest.Until(t, patience, "the sentinel to see the replica", func() (bool, error) {
		info, _ := watch.Master(ctx, "mymaster").Result()
		replicas, _ := watch.Replicas(ctx, "mymaster").Result()
		return info["flags"] == "master" && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok", nil
	})

	f := newFixture(t, "redis+sentinel://"+addr+"/mymaster")
	done := f.waiting(ctx, time.Second, f.queue)
	f.pushed(8, 1, 2)
	f.no(in(t, done, prompt))
	f.same("taken", f.taken("t1", 1), []int64{1})
	f.do("WAIT", 1, 5000)

	if err := watch.Failover(ctx, "mymaster").Err(); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "the replica to be master", func() (bool, error) {
		now, _ := watch.GetMasterAddrByName(ctx, "mymaster").Result()
		return strings.Join(now, ":") == replica.Addr(), nil
	})
	devtest.Until(t, patience, "the new master to answer", func() (bool, error) {
		_, err := f.Take(ctx, f.order("t2", 1))
		if err == nil || errors.Is(err, job.ErrUnavailable) {
			return false, nil // the old master serves its own life until it is told
		}
		if !errors.Is(err, job.ErrStale) {
			return false, err
		}
		return true, nil
	})
	_, err := f.OpenEpoch(ctx, f.queue, 2, false)
	f.no(err)
	w, err := f.Census(ctx, job.Census{QueueName: f.queue, Epoch: 2})
	f.no(err)
	f.same("window", w, job.Window{Epoch: 2, Leased: 1, Now: w.Now, OldestEnd: w.OldestEnd})
	f.heard(ctx, 10*time.Millisecond)
}

// A slot that moves takes the queue to another process: a new epoch, as after a
// failover.
func TestCluster_MovedSlotIsAnotherLife(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	cluster, err := devstack.StartRedisCluster(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	f := newFixture(t, "redis+cluster://"+strings.Join(cluster.Addrs(), ","))
	f.pushed(8, 1, 2)
	f.same("taken", f.taken("t1", 1), []int64{1})

	rdb := f.rdb.(*redis.ClusterClient)
	slot := rdb.ClusterKeySlot(ctx, f.meta()).Val()
	from, err := rdb.MasterForKey(ctx, f.meta())
	f.no(err)
	to := redis.NewClient(&redis.Options{Addr: cluster.Addrs()[0]})
	defer func() { _ = to.Close() }()
	if from.Options().Addr == to.Options().Addr {
		to = redis.NewClient(&redis.Options{Addr: cluster.Addrs()[1]})
		defer func() { _ = to.Close() }()
	}
	id := func(c *redis.Client) string { return c.Do(ctx, "CLUSTER", "MYID").Val().(string) }
	fromID, toID := id(from), id(to)
	f.no(to.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID).Err())
	f.no(from.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID).Err())
	host, port, _ := net.SplitHostPort(to.Options().Addr)
	words := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
	for _, key := range from.ClusterGetKeysInSlot(ctx, int(slot), 100).Val() {
		words = append(words, key)
	}
	f.no(from.Do(ctx, words...).Err())
	f.no(to.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err())
	f.no(from.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err())

	for verb, send := range changing {
		if err := send(f); !errors.Is(err, job.ErrStale) {
			t.Errorf("%s after the move: %v, want stale", verb, err)
		}
	}
	_, err = f.OpenEpoch(ctx, f.queue, 2, false)
	f.no(err)
	refused, err := f.Announce(ctx, f.queue, 2, job.Lease, refs(8, 1))
	f.no(err)
	f.same("refused", len(refused), 0)
}
