package db_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

const password = "s3kret-Pa55"

func discreet(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s = nil, want an error", what)
	} else if strings.Contains(err.Error(), password) {
		t.Errorf("%s tells the password: %v", what, err)
	}
}

func TestErrors_ServerThatCannotBeReached(t *testing.T) {
	t.Parallel()
	url := "postgres://user:" + password + "@127.0.0.1:1/db?sslmode=disable"
	s, err := db.Open(t.Context(), url, db.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("Open does not wait for Postgres, but says %v", err)
	}
	defer s.Close()
	_, claim := s.Claim(t.Context(), order(1))
	_, reconcile := s.Reconcile(t.Context(), worker, []job.Outcome{{Ref: job.Ref{ID: 1, DispatchID: 1}, Kind: job.Succeeded}})
	_, look := s.Job(t.Context(), 1)
	_, cancel := s.Cancel(t.Context(), 1)
	for what, err := range map[string]error{"Ping": s.Ping(t.Context()), "Claim": claim, "Reconcile": reconcile, "Job": look, "Cancel": cancel} {
		discreet(t, what, err)
		if !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("%s = %v, want ErrUnavailable", what, err)
		}
	}
	m, err := db.NewMigrator(url)
	if err != nil {
		t.Fatalf("NewMigrator: %v", err)
	}
	defer func() { _ = m.Close() }()
	_, err = m.Status(t.Context())
	discreet(t, "Status", err)
}

func TestErrors_BadURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://user:" + password + "@host:port/db",
		"postgres://user:" + password + "@[::1/db",
		"postgres://user:" + password + "@host/db?sslmode=perhaps",
		"user:" + password + "@host",
		"host=h password=" + password + " port=x",
		"postgres://user:" + password + "@host/db?pool_max_conns=many",
	} {
		_, err := db.Open(t.Context(), url, db.Options{})
		discreet(t, "Open", err)
		_, err = db.NewListener(url, nil)
		discreet(t, "NewListener", err)
		_, err = db.NewMigrator(url)
		discreet(t, "NewMigrator", err)
	}
}

func TestErrors_LogsKeepThePassword(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l, err := db.NewListener("postgres://user:"+password+"@127.0.0.1:1/db?sslmode=disable", slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatalf("NewListener: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	_, err = l.Hold(t.Context()) // answered between two attempts to connect
	discreet(t, "Hold", err)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if log.Len() == 0 || strings.Contains(log.String(), password) {
		t.Errorf("log = %s, want a line without the password", &log)
	}
}

// What stands in between may leave the SQLSTATE out.
func TestErrors_WithoutSQLState(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "5"} {
		said := &pgconn.PgError{Code: code, Message: "no more connections allowed"}
		if err := db.Translate("claim", said); !errors.Is(err, said) || errors.Is(err, job.ErrUnavailable) {
			t.Errorf("Translate of an error with SQLSTATE %q = %v, want itself", code, err)
		}
	}
}

func TestErrors_ContextThatEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := w.Ping(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Ping with a cancelled context = %v, want context.Canceled alone", err)
	}
	ctx, stop = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer stop()
	if err := w.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping past its deadline = %v, want context.DeadlineExceeded", err)
	}
}

func TestErrors_NoSuchJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, look := w.Job(t.Context(), 4711)
	_, cancel := w.Cancel(t.Context(), 4711)
	_, redrive := w.Redrive(t.Context(), 4711)
	for what, err := range map[string]error{"Job": look, "Cancel": cancel, "Redrive": redrive} {
		if !errors.Is(err, job.ErrNotFound) {
			t.Errorf("%s = %v, want ErrNotFound", what, err)
		}
	}
}

// A Postgres that crashes and comes back is the same Postgres: what was committed is
// there, and the epoch goes on.
func TestErrors_PostgresRestarts(t *testing.T) {
	t.Parallel()
	server := devtest.PostgresServer(t, nil)
	url := server.URL("postgres")
	devtest.Migrate(t, url)
	w := worldAt(t, url)
	l := listen(t, url)
	w.insert(2)
	ref := w.claim(1).Jobs[0].Ref()
	for _, mode := range []string{"immediate", "fast"} {
		if err := server.Restart(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
		devtest.Until(t, patience, "the Store to reach Postgres again", func() (bool, error) {
			err := w.Ping(t.Context())
			if err != nil && !errors.Is(err, job.ErrUnavailable) {
				return false, err
			}
			return err == nil, nil
		})
		devtest.Until(t, patience, "the side pool to reach Postgres again", func() (bool, error) { return w.side.Ping(t.Context()) == nil, nil })
		woken(t, l, "the session after a restart")
		if s := w.traces(ref.ID); s.Status != job.Dispatched || s.DispatchID != ref.DispatchID {
			t.Errorf("after %s: the claimed job = %+v, want dispatched as %v", mode, s, ref)
		}
		b, err := w.Claim(t.Context(), order(1))
		if errors.Is(err, job.ErrUnavailable) { // a connection of before the restart
			b, err = w.Claim(t.Context(), order(1))
		}
		if err != nil || len(b.Jobs) != 1 {
			t.Errorf("after %s: Claim in the epoch of before = %d jobs, %v, want 1", mode, len(b.Jobs), err)
		}
		w.insert(1)
	}
	if n := w.reconcile(job.Succeeded, 0, ref); n != 1 {
		t.Errorf("the outcome of an attempt of before the restarts = %d verdicts, want 1", n)
	}
}
