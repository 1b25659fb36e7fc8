package devstack_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack"
)

// A frozen server answers nobody, not even connections it has, and goes on when it is
// thawed.
func TestPostgres_Freeze(t *testing.T) {
	t.Parallel()
	p, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	ask := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		c, err := pgx.Connect(ctx, p.URL("postgres"))
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
	if err := p.Freeze(); err != nil {
		t.Fatalf("Freeze() = %v, want nil", err)
	}
	if err := ask(300 * time.Millisecond); err == nil {
		t.Error("a frozen server answers")
	}
	if err := p.Thaw(); err != nil {
		t.Fatalf("Thaw() = %v, want nil", err)
	}
	if err := ask(2 * time.Minute); err != nil {
		t.Errorf("a thawed server: %v", err)
	}
}
