package devtest

import (
	"context"
	"slices"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack"
)

// Redis returns the URL of a Redis server of the test's own, without persistence.
func Redis(t testing.TB) string {
	t.Helper()
	return RedisServer(t).URL()
}

// RedisServer starts a Redis server of the test's own, with more of redis-server's
// arguments ("--appendonly", "yes"). It stops when the test ends.
func RedisServer(t testing.TB, args ...string) *devstack.Redis {
	t.Helper()
	install(t, context.Background())
	server, err := devstack.StartRedis(context.Background(), devstack.RedisOptions{Args: args})
	if err != nil {
		t.Fatalf("devtest: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("devtest: %v", err)
		}
	})
	return server
}

// RedisCluster returns the addresses of a Redis Cluster of three masters that all
// tests of the process share and nobody flushes: a test takes names for its queues
// that no other test has.
func RedisCluster(t testing.TB) []string {
	t.Helper()
	servers.mu.Lock()
	defer servers.mu.Unlock()
	if servers.cluster == nil {
		install(t, context.Background())
		cluster, err := devstack.StartRedisCluster(context.Background(), 3)
		if err != nil {
			t.Fatalf("devtest: %v", err)
		}
		servers.cluster = cluster
	}
	return slices.Clone(servers.cluster.Addrs())
}
