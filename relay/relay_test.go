package relay_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// house is one Postgres database, one Redis and what stands on them.
type house struct {
	url   string
	pool  *pgxpool.Pool
	store *db.Store
	redis *redisq.Client
}

func newHouse(t *testing.T) *house {
	t.Helper()
	ctx := t.Context()
	h := &house{url: devtest.Postgres(t)}
	var err error
	if h.pool, err = pgxpool.New(ctx, h.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.pool.Close)
	if h.store, err = db.Open(ctx, h.url, db.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.store.Close)
	if h.redis, err = redisq.Open(ctx, devtest.Redis(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.redis.Close() })
	return h
}

// start runs a relay until the test ends, or stop is called.
func (h *house) start(t *testing.T, o relay.Options) (r *relay.Relay, stop func()) {
	t.Helper()
	listener, err := db.NewListener(h.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = relay.New(h.store, h.redis, listener, o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return r, stop
}

func (h *house) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := h.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (h *house) count(t *testing.T, sql string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := h.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// take takes up to n jobs as a worker would, once there are any.
func (h *house) take(t *testing.T, queue string, n int) []job.Envelope {
	t.Helper()
	var got job.Taken
	devtest.Until(t, 10*time.Second, "jobs in "+queue, func() (bool, error) {
		w, err := h.redis.Depths(t.Context(), []string{queue})
		if err != nil || w[queue].Epoch == 0 {
			return false, err
		}
		got, err = h.redis.Take(t.Context(), job.Take{
			QueueName: queue, Epoch: w[queue].Epoch, WorkerID: "w", Token: time.Now().String(), Limit: n, Lease: time.Minute,
		})
		return len(got.Jobs) > 0, err
	})
	return got.Jobs
}

func TestRelay_HandsOverWhatIsInserted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, relay.Options{})
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority) VALUES ('mail', '{"n": 1}', 100), ('mail', '{"n": 2}', 10)`)
	devtest.Until(t, 10*time.Second, "both dispatched", func() (bool, error) {
		return h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched'`) == 2, nil
	})
	jobs := h.take(t, "mail", 10)
	if len(jobs) != 2 || string(jobs[0].Payload) != `{"n": 2}` || jobs[0].AttemptCount != 1 {
		t.Fatalf("take = %+v, want the urgent one first", jobs)
	}
	devtest.Until(t, 5*time.Second, "push recorded", func() (bool, error) {
		return h.count(t, `SELECT count(*) FROM outbox.dispatches WHERE seq IS NULL`) == 0, nil
	})
	for _, e := range jobs {
		v, err := h.store.Reconcile(t.Context(), "w", []job.Outcome{{Ref: e.Ref(), Kind: job.Succeeded, Ran: time.Millisecond}})
		if err != nil || len(v) != 1 || v[0].Status != job.Completed {
			t.Fatalf("Reconcile = %v, %v", v, err)
		}
	}
	devtest.Until(t, 10*time.Second, "ledger swept", func() (bool, error) {
		return h.count(t, `SELECT count(*) FROM outbox.dispatches`) == 0, nil
	})
}
