package relay_test

import (
	"context"
	"flag"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// TestMain lets more tests run at once than there are processors: they wait for
// leases and deadlines most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	atOnce := flag.Lookup("test.parallel")
	if atOnce.Value.String() == atOnce.DefValue {
		_ = flag.Set("test.parallel", "6")
	}
	devtest.Main(m)
}

// quick is a lease for tests that wait for one to end.
const quick = time.Second

// patience bounds every wait for what must happen. Nothing is concluded from how long
// one took.
const patience = 2 * time.Minute

// never is a poll that no test lives to see: what is handed out, a wake was for.
const never = time.Hour

// house is one Postgres database, one Redis and what stands on them.
type house struct {
	url    string
	pool   *pgxpool.Pool
	store  *db.Store
	server *devstack.Redis
	redis  *redisq.Client
	raw    *redis.Client // for looking behind redisq's back
}

func newHouse(t *testing.T, redisArgs ...string) *house {
	t.Helper()
	return houseOn(t, devtest.Postgres(t), devtest.RedisServer(t, redisArgs...))
}

func houseOn(t *testing.T, url string, server *devstack.Redis) *house {
	t.Helper()
	ctx := t.Context()
	h := &house{url: url, server: server, raw: redis.NewClient(&redis.Options{Addr: server.Addr()})}
	t.Cleanup(func() { _ = h.raw.Close() })
	var err error
	if h.pool, err = pgxpool.New(ctx, h.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.pool.Close)
	if h.store, err = db.Open(ctx, h.url, db.Options{MaxConns: 6, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.store.Close)
	if h.redis, err = (redisq.Options{SealKeys: h.store.SealKeys}).Open(ctx, server.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.redis.Close() })
	return h
}

// wiring is what a relay stands on when it is not simply the house.
type wiring struct {
	relay.Options
	store  relay.Store
	redis  relay.Redis
	source relay.Source
	dieAt  string        // a failpoint at which the relay is killed
	poll   time.Duration // how often it looks when nothing wakes it; 0: as ever
}

// mortal is a store that a killed relay does not take its leave from.
type mortal struct {
	relay.Store
	dead atomic.Bool
}

func (m *mortal) Record(ctx context.Context, pushed []job.Recorded) error {
	if m.dead.Load() {
		return job.ErrUnavailable
	}
	return m.Store.Record(ctx, pushed)
}

func (m *mortal) Retire(ctx context.Context, id string) error {
	if m.dead.Load() {
		return job.ErrUnavailable
	}
	return m.Store.Retire(ctx, id)
}

// start runs a relay until the test ends, or stop is called.
func (h *house) start(t *testing.T, w wiring) (r *relay.Relay, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.Logger = slog.New(slog.DiscardHandler)
	if w.store == nil {
		w.store = h.store
	}
	if w.dieAt != "" {
		grave := &mortal{Store: w.store}
		w.store = grave
		w.Failpoint = func(name string) {
			if name == w.dieAt {
				grave.dead.Store(true)
				cancel() // nothing it sends from here on reaches anybody
			}
		}
	}
	if w.redis == nil {
		w.redis = h.redis
	}
	if w.source == nil {
		listener, err := db.NewListener(h.url, w.Logger)
		if err != nil {
			t.Fatal(err)
		}
		w.source = listener
	}
	r, err := relay.New(w.store, w.redis, w.source, w.Options)
	if err != nil {
		t.Fatal(err)
	}
	r.Poll(w.poll)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var stopped atomic.Bool
	stop = func() {
		if w.dieAt == "" {
			cancel()
		}
		if stopped.Swap(true) {
			return
		}
		defer cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not end")
		}
	}
	t.Cleanup(func() { cancel(); stop() })
	return r, stop
}

func (h *house) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := h.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (h *house) count(t *testing.T, sql string, args ...any) (n int64) {
	t.Helper()
	if err := h.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// insert adds n jobs of priority 100 to a queue in one transaction.
func (h *house) insert(t *testing.T, queue string, n int) {
	t.Helper()
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload) SELECT $1, '{}' FROM generate_series(1, $2)`, queue, n)
}

// await waits until a count in Postgres is want.
func (h *house) await(t *testing.T, want int64, what, sql string, args ...any) {
	t.Helper()
	var got int64
	defer func() {
		if got != want {
			t.Errorf("%s = %d, want %d", sql, got, want)
		}
	}()
	devtest.Until(t, patience, what, func() (bool, error) {
		got = h.count(t, sql, args...)
		return got == want, nil
	})
}

const (
	dispatched = `SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched'`
	unrecorded = `SELECT count(*) FROM outbox.dispatches WHERE seq IS NULL`
)

// taking is what a worker passes along.
func (h *house) taking(t *testing.T, queue string, n int, lease time.Duration) job.Take {
	t.Helper()
	w, err := h.redis.Depths(t.Context(), []string{queue})
	if err != nil {
		t.Fatal(err)
	}
	return job.Take{QueueName: queue, Epoch: w[queue].Epoch, WorkerID: "w", Token: strconv.FormatInt(job.NewDispatchID(), 10), Limit: n, Lease: lease}
}

// takeFor takes exactly n jobs as a worker would, as they come.
func (h *house) takeFor(t *testing.T, queue string, n int, lease time.Duration) (got []job.Envelope) {
	t.Helper()
	devtest.Until(t, patience, strconv.Itoa(n)+" jobs in "+queue, func() (bool, error) {
		take := h.taking(t, queue, min(n-len(got), job.MaxBatch), lease)
		if take.Epoch == 0 {
			return false, nil
		}
		taken, err := h.redis.Take(t.Context(), take)
		got = append(got, taken.Jobs...)
		return len(got) == n, err
	})
	return got
}

func (h *house) take(t *testing.T, queue string, n int) []job.Envelope {
	t.Helper()
	return h.takeFor(t, queue, n, time.Minute)
}

// complete records that the attempts have succeeded, and gives up their leases.
func (h *house) complete(t *testing.T, jobs []job.Envelope) {
	t.Helper()
	if len(jobs) == 0 {
		return
	}
	var ends []job.Outcome
	for i := range jobs {
		ends = append(ends, job.Outcome{Ref: jobs[i].Ref(), Kind: job.Succeeded})
	}
	verdicts, err := h.store.Reconcile(t.Context(), "w", ends)
	if err != nil || len(verdicts) != len(ends) {
		t.Fatalf("Reconcile(%d outcomes) = %d verdicts, %v", len(ends), len(verdicts), err)
	}
	queue := jobs[0].QueueName
	if err := h.redis.Ack(t.Context(), queue, h.taking(t, queue, 1, quick).Epoch, job.Batch{Jobs: jobs}.Refs()); err != nil {
		t.Fatal(err)
	}
}

// copies returns what waits in a queue's window, in the order of taking, read
// without taking it: take would hide a second copy.
func (h *house) copies(t *testing.T, queue string) (out []job.Envelope) {
	t.Helper()
	for _, band := range []string{":high", "", ":low"} {
		texts, err := h.raw.LRange(t.Context(), "queue:{"+queue+"}"+band, 0, -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		for i := len(texts) - 1; i >= 0; i-- {
			e, err := job.Decode([]byte(texts[i]))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
	}
	return out
}

// onceEach fails the test unless the window holds each of n jobs once.
func (h *house) onceEach(t *testing.T, queue string, n int) {
	t.Helper()
	seen := map[int64]int{}
	for _, e := range h.copies(t, queue) {
		if seen[e.ID]++; seen[e.ID] > 1 {
			t.Errorf("job %d stands in the window %d times", e.ID, seen[e.ID])
		}
	}
	if len(seen) != n {
		t.Errorf("the window has %d jobs, want %d", len(seen), n)
	}
}

func (h *house) flush(t *testing.T) {
	t.Helper()
	if err := h.raw.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}
