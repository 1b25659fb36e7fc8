package signup

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
	"github.com/penguinmails/rookery/workers/workertest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// A handler alone, without servers.
func TestWelcome_Outcomes(t *testing.T) {
	t.Parallel()
	payload, err := json.Marshal(Welcome{UserID: 1, To: "a@b.c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		said error
		want job.OutcomeKind
	}{
		{nil, job.Succeeded}, {ErrBusy, job.Failed}, {ErrNoMailbox, job.Discarded}, {errors.New("?"), job.Failed},
	} {
		m := Mailer{Send: func(context.Context, int64, string) error { return c.said }}
		got, err := workertest.Run(t.Context(), workers.Typed(m.Welcome), workertest.Attempt{Spec: job.Spec{Kind: "welcome", Payload: payload}})
		if err != nil || got.Kind != c.want || errors.Is(c.said, ErrBusy) && got.Delay != 5*time.Minute {
			t.Errorf("Welcome, when Send says %v = %+v, %v, want %v", c.said, got, err, c.want)
		}
	}
}

// What was inserted, on a real Postgres.
func TestSignUp_OneTransaction(t *testing.T) {
	t.Parallel()
	pool := open(t, devtest.Postgres(t))
	const refuse = `
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE check_violation; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.email LIKE 'late%') EXECUTE FUNCTION refuse()`
	if _, err := pool.Exec(t.Context(), refuse); err != nil {
		t.Fatal(err)
	}
	id, err := SignUp(t.Context(), pool, "a@b.c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SignUp(t.Context(), pool, "late@b.c"); err == nil { // by COMMIT, when the job is inserted already
		t.Error("SignUp that cannot be committed = nil, want an error")
	}
	var w Welcome
	if err := pool.QueryRow(t.Context(), `SELECT payload FROM outbox.jobs WHERE kind = 'welcome'`).Scan(&w); err != nil || w != (Welcome{id, "a@b.c"}) {
		t.Errorf("the job is %+v, %v, want that of user %d", w, err, id)
	}
	var n int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox.jobs`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d jobs, %v, want 1", n, err)
	}
}

// A unique job: who comes second waits for the first, and inserts only if that was rolled back.
func TestInsertReport_Once(t *testing.T) {
	t.Parallel()
	pool := open(t, devtest.Postgres(t))
	day := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for i, end := range []func(pgx.Tx, context.Context) error{pgx.Tx.Rollback, pgx.Tx.Commit, pgx.Tx.Commit} {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := InsertReport(t.Context(), tx, day); err != nil || got != (i < 2) {
			t.Errorf("InsertReport, the %d. time = %v, %v, want %v", i+1, got, err, i < 2)
		}
		if err := end(tx, t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox.jobs WHERE kind = 'report'`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d reports, %v, want 1", n, err)
	}
}

// All of it: a relay and a worker in this process.
func TestWork_RunsWhatSignUpInserted(t *testing.T) {
	t.Parallel()
	c := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t), LogLevel: 8}
	id, err := SignUp(t.Context(), open(t, c.DatabaseURL), "a@b.c")
	if err != nil {
		t.Fatal(err)
	}
	svc, err := rookery.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	relay, err := svc.Relay()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	mailed := make(chan string, 1)
	ended := make(chan error, 2)
	go func() { ended <- relay.Run(ctx) }()
	go func() {
		ended <- Work(ctx, c, Mailer{Send: func(_ context.Context, _ int64, to string) error {
			mailed <- to
			return nil
		}})
	}()
	select {
	case to := <-mailed:
		if to != "a@b.c" {
			t.Errorf("%s was mailed, want a@b.c, user %d", to, id)
		}
	case err := <-ended:
		t.Errorf("relay or worker ended: %v", err)
		ended <- nil
	case <-time.After(2 * time.Minute):
		t.Error("nothing was mailed within two minutes")
	}
	stop()
	if err := errors.Join(<-ended, <-ended, svc.Close()); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err == nil {
		_, err = pool.Exec(t.Context(), Schema)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
