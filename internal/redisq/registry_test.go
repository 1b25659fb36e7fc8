package redisq

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

func TestWorkers_ShowsWhoIsThere(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		p := job.Process{
			ID: "b" + f.queue, Role: "worker", Host: "h", PID: 7, StartedAt: time.UnixMilli(1764000000123).UTC(),
			Epochs: map[string]int64{f.queue: 1}, Queues: []string{f.queue}, Slots: 10, Running: refs(8, 1), Leaked: 1,
		}
		other := job.Process{ID: "a" + f.queue, Role: "worker"}
		f.no(f.Register(ctx, p))
		f.no(f.Register(ctx, other))
		f.no(f.Register(ctx, p))
		got, err := f.Workers(ctx)
		f.no(err)
		f.same("workers", got, []job.Process{other, p})
		if ttl := f.admin.PTTL(ctx, workerKeyPrefix+p.ID).Val(); ttl <= 0 || ttl > registered {
			t.Errorf("shown for %s, want up to %s", ttl, registered)
		}

		f.do("DEL", workerKeyPrefix+p.ID) // a minute without a beat
		got, err = f.Workers(ctx)
		f.no(err)
		f.same("without the one that is gone", got, []job.Process{other})
		f.same("registry", f.do("SMEMBERS", workersKey), []any{other.ID})

		f.no(f.Unregister(ctx, other.ID))
		f.no(f.Unregister(ctx, other.ID))
		got, err = f.Workers(ctx)
		f.no(err)
		f.same("nobody", len(got), 0)
		f.same("entry", f.do("EXISTS", workerKeyPrefix+other.ID), int64(0))
	})
}

func TestInspect_ReadsTheSettings(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t, "--appendonly", "yes", "--save", "60 1000", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
	f := newFixture(t, server.URL())
	got, err := f.Inspect(context.Background())
	f.no(err)
	if len(got.RunID) != 40 || got.UsedMemory <= 0 || !strings.Contains(got.Version, ".") || !got.Evicts() {
		t.Errorf("Inspect = %+v", got)
	}
	f.same("Inspect", got, Server{
		Version: got.Version, Flavor: got.Flavor, Mode: "standalone", Role: "master", RunID: got.RunID, Masters: 1,
		EvictionPolicy: "allkeys-lru", AppendOnly: true, Save: "60 1000", ConfigRead: true,
		UsedMemory: got.UsedMemory, MaxMemory: 50 << 20,
	})
}

func TestInspect_OfACluster(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		got, err := f.Inspect(context.Background())
		f.no(err)
		mode, masters := "standalone", 1
		if f.bells.cluster {
			mode, masters = "cluster", 3
		}
		f.same("mode and masters", []any{got.Mode, got.Masters, got.Evicts(), got.ScriptProblem}, []any{mode, masters, false, ""})
	})
}

func TestInspect_ToleratesARestrictedUser(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t)
	f := newFixture(t, server.URL())
	f.do("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-config", "-@dangerous", "+info")
	app := newFixture(t, strings.Replace(server.URL(), "redis://", "redis://app:pw@", 1))
	got, err := app.Inspect(context.Background())
	f.no(err)
	f.same("config and script", []any{got.ConfigRead, got.ScriptProblem}, []any{false, ""})
	app.inUse()

	f.do("ACL", "SETUSER", "app", "-info")
	o := *f.rdb.(*redis.Client).Options()
	o.Username, o.Password = "app", "pw"
	deaf := Options{SealKeys: devtest.SealKeys}.New(redis.NewClient(&o))
	defer func() { f.no(deaf.Close()) }()
	if _, err := deaf.Take(context.Background(), f.order("t1", 1)); err == nil {
		t.Error("Take without +info = nil, want an error")
	}
}

func TestWorse_OfMasters(t *testing.T) {
	t.Parallel()
	good := Server{RunID: "b", Masters: 1, EvictionPolicy: "noeviction", AppendOnly: true, UsedMemory: 1, MaxMemory: 10}
	lru, volatile := good, good
	lru.RunID, lru.EvictionPolicy = "c", "allkeys-lru"
	volatile.RunID, volatile.AppendOnly = "a", false
	for _, order := range [][]Server{{good, lru, volatile}, {volatile, lru, good}, {lru, good, volatile}} {
		var all Server
		for _, s := range order {
			all = worse(all, s)
		}
		want := lru
		want.Masters, want.UsedMemory, want.MaxMemory = 3, 3, 30
		if all != want {
			t.Errorf("worse = %+v, want %+v", all, want)
		}
	}
}
