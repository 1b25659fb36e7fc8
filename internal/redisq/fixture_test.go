package redisq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// fixture is a queue of its own on a real server, open in epoch 1.
type fixture struct {
	testing.TB
	*Client
	keys
	queue string
	admin redis.UniversalClient // nil: the Client's own may do everything
}

var queues atomic.Int64

// everywhere runs test on a single server and on a cluster of three masters, as the
// user of deploy/redis/users.acl.
func everywhere(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Parallel()
	t.Run("single", func(t *testing.T) {
		t.Parallel()
		server := devtest.RedisServer(t)
		devtest.SetRedisUser(t, server.Addr())
		test(t, newFixture(t, devtest.AsRedisUser(t, server.URL())).under(server.URL()))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		addrs := devtest.RedisCluster(t)
		devtest.SetRedisUser(t, addrs...)
		url := "redis+cluster://" + strings.Join(addrs, ",")
		test(t, newFixture(t, devtest.AsRedisUser(t, url)).under(url))
	})
}

func newFixture(t testing.TB, url string) *fixture {
	t.Helper()
	c, err := Options{Logger: slog.New(slog.DiscardHandler), SealKeys: devtest.SealKeys}.Open(t.Context(), url)
	if err != nil {
		t.Fatalf("Open(%q): %v", url, err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return (&fixture{TB: t, Client: c}).another()
}

// under looks at keys, and breaks them, as a user who may.
func (f *fixture) under(url string) *fixture {
	f.Helper()
	rdb, err := parseURL(url)
	f.no(err)
	f.Cleanup(func() { _ = rdb.Close() })
	f.admin = rdb
	return f
}

// another is a second queue on the same server.
func (f *fixture) another() *fixture {
	f.Helper()
	queue := fmt.Sprintf("q%d", queues.Add(1))
	k, err := keysOf(queue)
	f.no(err)
	_, err = f.OpenEpoch(context.Background(), queue, 1, false)
	f.no(err)
	return &fixture{TB: f.TB, Client: f.Client, keys: k, queue: queue, admin: f.admin}
}

// no fails the test on an error.
func (f *fixture) no(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// jobs makes envelopes of one dispatch with these ids, priority 100.
func (f *fixture) jobs(dispatchID int64, ids ...int64) []job.Envelope {
	at := time.UnixMilli(1764000000123).UTC()
	jobs := make([]job.Envelope, len(ids))
	for i, id := range ids {
		jobs[i] = job.Envelope{
			ID: id, DispatchID: dispatchID, Version: 1, AttemptCount: 1, QueueName: f.queue, Kind: "send",
			Priority: 100, MaxAttempts: 25, CreatedAt: at, RunAt: at, DispatchedAt: at,
			Payload: json.RawMessage(`{"to":"a@example.org"}`),
		}
	}
	return jobs
}

// batch is a push of jobs in epoch 1 with a deadline far away.
func (f *fixture) batch(jobs ...job.Envelope) job.Push {
	p := job.Push{Deadline: time.Now().Add(time.Hour).UnixMilli()}
	p.QueueName, p.Epoch, p.Jobs = f.queue, 1, jobs
	if len(jobs) > 0 {
		p.DispatchID = jobs[0].DispatchID
	}
	return p
}

// pushed pushes jobs 1 … n of a dispatch.
func (f *fixture) pushed(dispatchID int64, ids ...int64) []job.Envelope {
	f.Helper()
	jobs := f.jobs(dispatchID, ids...)
	_, err := f.Push(context.Background(), f.batch(jobs...))
	f.no(err)
	return jobs
}

func (f *fixture) order(token string, limit int) job.Take {
	return job.Take{QueueName: f.queue, Epoch: 1, WorkerID: "w1", Token: token, Limit: limit, Lease: job.Lease}
}

// taken takes and returns the ids.
func (f *fixture) taken(token string, limit int) []int64 {
	f.Helper()
	t, err := f.Take(context.Background(), f.order(token, limit))
	f.no(err)
	return idsOf(t.Jobs)
}

func idsOf(jobs []job.Envelope) []int64 {
	ids := []int64{}
	for _, e := range jobs {
		ids = append(ids, e.ID)
	}
	return ids
}

func refs(dispatchID int64, ids ...int64) []job.Ref {
	r := []job.Ref{}
	for _, id := range ids {
		r = append(r, job.Ref{ID: id, DispatchID: dispatchID})
	}
	return r
}

// same fails the test unless got is want.
func (f *fixture) same(what string, got, want any) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Fatalf("%s: -want +got\n%s", what, diff)
	}
}

// do runs a plain command, for looking at the keys and for breaking them.
func (f *fixture) do(words ...any) any {
	f.Helper()
	rdb := f.admin
	if rdb == nil {
		rdb = f.rdb
	}
	v, err := rdb.Do(context.Background(), words...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		f.Fatalf("%v: %v", words, err)
	}
	return v
}

// state is everything the queue has in Redis, to see that nothing was changed.
func (f *fixture) state() map[string]any {
	f.Helper()
	s := map[string]any{"meta": f.do("HGETALL", f.meta()), "batches": f.do("HGETALL", f.batches())}
	for _, k := range []string{f.high(), f.normal(), f.low(), f.bell()} {
		s[k] = f.do("LRANGE", k, 0, -1)
	}
	for _, k := range []string{f.leases(), f.lost(), f.cancelled()} {
		s[k] = f.do("ZRANGE", k, 0, -1, "WITHSCORES")
	}
	return s
}
