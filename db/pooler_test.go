package db_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack"
)

// A pooler keeps our connection through a failover behind it: the new timeline must
// be seen all the same, or one relay ends the epochs that another begins.
func TestStore_SeesAFailoverBehindAPooler(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := devstack.InstallTools(ctx, os.Stderr); err != nil {
		t.Fatal(err)
	}
	primary, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = primary.Stop() })
	if _, err := migrator(t, primary.URL("postgres")).Up(ctx); err != nil {
		t.Fatal(err)
	}
	standby, err := devstack.StartStandby(ctx, primary, devstack.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Stop() })
	pooler, err := devstack.StartPooler(ctx, addr(primary))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pooler.Stop() })
	store, err := db.Open(ctx, "postgres://postgres@"+pooler.Addr()+"/postgres?sslmode=disable", db.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	_, before, _, err := store.Queues(ctx)
	if err != nil {
		t.Fatal(err)
	}

	if err := pooler.Aim(addr(standby)); err != nil {
		t.Fatal(err)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	for {
		_, after, _, err := store.Queues(ctx)
		if err == nil && after != before {
			return
		}
		if ctx.Err() != nil || err == nil {
			t.Fatalf("Queues after a failover: life %q, %v, want another than %q", after, err, before)
		}
	}
}

func addr(p *devstack.Postgres) string { return fmt.Sprintf("127.0.0.1:%d", p.Port()) }
