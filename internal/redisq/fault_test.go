package redisq

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// lossy is a network that loses the next replies: the server has executed the
// command, and the connection is cut.
type lossy struct{ lose atomic.Int32 }

func (l *lossy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &lossyConn{Conn: conn, net: l}, err
}

type lossyConn struct {
	net.Conn
	net   *lossy
	asked atomic.Bool // a script was sent
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "evalsha") {
		c.asked.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.asked.Swap(false) && c.net.lose.Add(-1) >= 0 {
		_ = c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

// overLossy is f over a network that can lose replies.
func overLossy(t *testing.T, f *fixture) (*fixture, *lossy) {
	t.Helper()
	l := &lossy{}
	var rdb redis.UniversalClient
	switch c := f.rdb.(type) {
	case *redis.Client:
		o := *c.Options()
		o.Dialer = l.dial
		rdb = redis.NewClient(&o)
	case *redis.ClusterClient:
		o := *c.Options()
		o.Dialer = l.dial
		rdb = redis.NewClusterClient(&o)
	}
	g := &fixture{TB: t, Client: Options{SealKeys: devtest.SealKeys}.New(rdb), keys: f.keys, queue: f.queue, admin: f.admin}
	t.Cleanup(func() { f.no(g.Close()) })
	g.pushed(1, 99) // now the server knows the scripts
	f.same("taken", g.taken("t0", 1), []int64{99})
	f.no(g.Ack(context.Background(), g.queue, 1, refs(1, 99)))
	return g, l
}

func TestLostReply_OfTakeAndPush(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f, l := overLossy(t, f)
		l.lose.Store(2)
		got, err := f.Push(context.Background(), f.batch(f.jobs(8, 1, 2, 3, 4)...))
		f.no(err)
		f.same("Pushed", got, job.Pushed{Seq: 2, Depth: 4, Now: got.Now, Dup: true})
		l.lose.Store(2)
		f.same("taken", f.taken("t1", 2), []int64{1, 2})
		f.same("leases", f.do("ZCARD", f.leases()), int64(2))
		f.same("next", f.taken("t2", 2), []int64{3, 4})
	})
}

func TestLostReply_OfReleaseIsNotSentAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f, l := overLossy(t, f)
		jobs := f.pushed(8, 1, 2)
		f.taken("t1", 2)
		f.no(f.Release(context.Background(), f.queue, 1, jobs[:1])) // the script is known now
		l.lose.Store(1)
		err := f.Release(context.Background(), f.queue, 1, jobs[1:])
		if !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("Release = %v, want unavailable", err)
		}
		f.same("lost replies", l.lose.Load(), int32(0))
		f.same("taken", f.taken("t2", 5), []int64{2, 1})
	})
}

func TestRestart_IsAnotherLife(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t, "--appendonly", "yes", "--appendfsync", "always")
	f := newFixture(t, server.URL())
	ctx := context.Background()
	f.inUse()
	f.pushed(10, 10, 11)
	f.do("DEL", f.bell())
	f.same("taken", f.taken("t2", 2), []int64{3, 10}) // rings: all but the receipt must reach the AOF
	before := f.state()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "Redis", func() (bool, error) { return f.Ping(ctx) == nil, nil })
	f.same("what the AOF kept", f.state(), before)
	f.same("receipts kept", f.do("EXISTS", f.receipt("w1")), int64(0))
	for verb, send := range changing {
		var stale *job.StaleError
		if err := send(f); !errors.As(err, &stale) || stale.Epoch != 1 {
			t.Errorf("%s after a restart: %v, want stale with epoch 1", verb, err)
		}
	}
	f.same("state", f.state(), before)

	_, err := f.OpenEpoch(ctx, f.queue, 2, false)
	f.no(err)
	o := f.order("t1", 5)
	o.Epoch = 2
	got, err := f.Take(ctx, o)
	f.no(err)
	f.same("taken with the old token", len(got.Jobs), 0)
	refused, err := f.Announce(ctx, f.queue, 2, job.Lease, refs(8, 1, 4))
	f.no(err)
	f.same("refused", refused, refs(8, 4))
}

func TestFullRedis_CanStillBeEmptied(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t)
	f := newFixture(t, server.URL())
	ctx := context.Background()
	f.pushed(8, 1, 2, 3, 4)
	f.do("CONFIG", "SET", "maxmemory", "1mb") // it has more already
	before := f.state()
	_, err := f.Push(ctx, f.batch(f.jobs(9, 5)...))
	if !errors.Is(err, job.ErrFull) || errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Push = %v, want full", err)
	}
	f.same("state after a refused push", f.state(), before)

	got, err := f.Take(ctx, f.order("t1", 3))
	f.no(err)
	f.same("taken", idsOf(got.Jobs), []int64{1, 2, 3})
	gone, _, err := f.Beat(ctx, f.queue, 1, job.Lease, refs(8, 1, 2, 3))
	f.no(err)
	f.same("gone", len(gone), 0)
	f.no(f.Release(ctx, f.queue, 1, got.Jobs[2:]))
	f.no(f.Cancel(ctx, f.queue, 1, refs(8, 2)))
	f.no(f.Ack(ctx, f.queue, 1, refs(8, 1)))
	f.do("CONFIG", "SET", "maxmemory", "0")
	f.do("ZADD", f.leases(), "XX", 1, "2:8")
	f.do("CONFIG", "SET", "maxmemory", "1mb")
	lost, err := f.Expired(ctx, f.queue, 1, job.NoDeadline, 0)
	f.no(err)
	f.same("lost", len(lost), 1)
	f.no(f.Drop(ctx, f.queue, 1, refs(8, 2)))
	_, err = f.Missing(ctx, f.queue, 1, refs(8, 7))
	f.no(err)
	w, err := f.Census(ctx, job.Census{QueueName: f.queue, Epoch: 1, KnownSeq: 1})
	f.no(err)
	f.same("waiting", w.Depth(), int64(2))
	_, err = f.OpenEpoch(ctx, f.queue, 2, false)
	f.no(err)
	f.do("CONFIG", "SET", "maxmemory", "0")
}

func TestReadOnlyReplica_IsUnavailable(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t)
	f := newFixture(t, server.URL())
	f.do("REPLICAOF", "127.0.0.1", "1")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := f.Take(ctx, f.order("t1", 1)); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Take from a replica = %v, want unavailable", err)
	}
}

func TestFrozenRedis_EndsWithTheDeadline(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t)
	f := newFixture(t, server.URL())
	f.no(server.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { f.no(server.Signal(syscall.SIGCONT)) })
	devtest.Until(t, patience, "a Take that ends within two seconds", func() (bool, error) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		if _, err := f.Take(ctx, f.order("t1", 1)); !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("Take = %v, want unavailable", err)
		}
		return time.Since(start) < 2*time.Second, nil // a machine that stands still has it try again
	})
}
