package rookery_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// wire is the way of one server to Redis, which can be cut.
type wire struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// wireTo returns one to the server at to, and its own address.
func wireTo(t *testing.T, to string) (w *wire, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w = &wire{}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to) //nolint:noctx // a test's
			if err != nil || !w.add(in, out) {
				_ = in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(way[1], way[0])
					_ = way[1].Close()
				}()
			}
		}
	}()
	return w, l.Addr().String()
}

func (w *wire) add(in, out net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		_ = out.Close()
		return false
	}
	w.conns = append(w.conns, in, out)
	return true
}

func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for _, c := range w.conns {
		_ = c.Close()
	}
}

// A lease that its client has extended at another server only is left to that one when the
// server that gave it stops: nothing runs again.
func TestPull_ExtendedElsewhereBeforeItsServerStops(t *testing.T) {
	t.Parallel()
	cfg := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)}
	one, stop := pullServer(t, cfg)
	two, _ := pullServer(t, cfg)
	c := leasing{t}
	c.insert(one, 5)
	j := c.lease(one, "25s")
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	devtest.Until(t, 2*time.Minute, "the server to stop", func() (bool, error) {
		key := map[string]any{"lease_id": j.LeaseID, "lease_token": j.Token}
		status, a := call(t, two+"/v1/workers/w/heartbeat", map[string]any{"leases": []any{key}})
		if status != 200 || len(a["lost"].([]any))+len(a["cancelled"].([]any)) > 0 {
			t.Fatalf("heartbeat = %d %v, want nothing lost", status, a)
		}
		select {
		case <-stopped:
			return true, nil
		default:
			return false, nil
		}
	})
	j.says(t, two, "ack", "", 200, "status", "completed")
	if status, a := get(t, two+"/v1/jobs/"+jsonOf(j.ID)); status != 200 || a["attempt_count"] != 1.0 || a["lost_count"] != 0.0 {
		t.Errorf("the job is %v, want one attempt and no loss", a)
	}
}

// Two servers have an attempt, and one of them is cut off from Redis and holds it in
// Postgres from then on. The other, whose lease in Redis goes on, does not keep the
// client for ever with what is worth nothing: it sends it there.
func TestPull_OneOfTwoHoldersIsCutOffFromRedis(t *testing.T) {
	t.Parallel()
	redis := devtest.RedisServer(t)
	direct := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: redis.URL()}
	line, addr := wireTo(t, redis.Addr())
	wired := direct
	wired.RedisURL = strings.Replace(direct.RedisURL, redis.Addr(), addr, 1)
	if wired.RedisURL == direct.RedisURL {
		t.Fatalf("%s has no %s", direct.RedisURL, redis.Addr())
	}
	conn, err := pgx.Connect(t.Context(), direct.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	one, _ := pullServer(t, wired)
	two, _ := pullServer(t, direct)
	c := leasing{t}
	c.insert(one, 5)
	j := c.lease(one, "10m")
	var fence int64
	if err := conn.QueryRow(t.Context(), "SELECT dispatch_id FROM outbox.jobs WHERE id = $1", j.ID).Scan(&fence); err != nil {
		t.Fatal(err)
	}
	beat := func(base string) (elsewhere int) {
		t.Helper()
		key := map[string]any{"lease_id": j.LeaseID, "lease_token": j.Token}
		status, a := call(t, base+"/v1/workers/w/heartbeat", map[string]any{"leases": []any{key}})
		if status != 200 || len(a["lost"].([]any))+len(a["cancelled"].([]any)) > 0 {
			t.Fatalf("heartbeat at %s = %d %v, want nothing lost", base, status, a)
		}
		return len(a["elsewhere"].([]any))
	}
	devtest.Until(t, time.Minute, "the other to adopt it", func() (bool, error) { return beat(two) == 0, nil })
	line.sever()
	devtest.Until(t, time.Minute, "the first to hold it in Postgres", func() (held bool, err error) {
		err = conn.QueryRow(t.Context(), "SELECT dispatch_id <> $2 FROM outbox.jobs WHERE id = $1", j.ID, fence).Scan(&held)
		return held, err
	})
	devtest.Until(t, time.Minute, "the other to send the client there", func() (bool, error) { return beat(two) == 1, nil })
	if beat(one) != 0 {
		t.Error("the one that holds it does not extend it")
	}
	j.says(t, two, "ack", "", 200, "status", "completed")
}
