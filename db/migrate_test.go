package db_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func migrator(t *testing.T, url string) *db.Migrator {
	t.Helper()
	m, err := db.NewMigrator(url)
	if err != nil {
		t.Fatalf("NewMigrator: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

func TestMigrator_UpDownUpIsTheSame(t *testing.T) {
	t.Parallel()
	url := devtest.EmptyPostgres(t)
	m, look := migrator(t, url), sidePool(t, url)
	before := dump(t, look)

	up, err := m.Up(t.Context())
	if err != nil || len(up) == 0 {
		t.Fatalf("Up = %v, %v, want migrations", up, err)
	}
	first := dump(t, look)
	if len(first["columns"]) == 0 || len(first["publications"]) != 1 || len(first["functions"]) == 0 || len(first["grants"]) == 0 {
		t.Fatalf("the dump is empty: %v", first)
	}
	if again, err := m.Up(t.Context()); err != nil || len(again) != 0 {
		t.Errorf("Up once more = %v, %v, want none", again, err)
	}
	one, err := m.Down(t.Context(), false)
	if err != nil || len(one) != 1 || one[0].Version != up[len(up)-1].Version || one[0].Applied {
		t.Errorf("Down(one) = %v, %v, want migration %d taken back", one, err, up[len(up)-1].Version)
	}
	if _, err := m.Down(t.Context(), true); err != nil {
		t.Fatalf("Down(all): %v", err)
	}
	if diff := cmp.Diff(before, dump(t, look)); diff != "" {
		t.Errorf("Down leaves (-before +after):\n%s", diff)
	}
	if again, err := m.Up(t.Context()); err != nil || len(again) != len(up) {
		t.Fatalf("Up after Down = %v, %v, want %d migrations", again, err, len(up))
	}
	if diff := cmp.Diff(first, dump(t, look)); diff != "" {
		t.Errorf("the second Up differs (-first +second):\n%s", diff)
	}
}

func TestMigrator_EachStepDownAndUpIsTheSame(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	m, look := migrator(t, url), sidePool(t, url)
	want := dump(t, look)
	states, err := m.Status(t.Context())
	if err != nil || len(states) == 0 {
		t.Fatalf("Status = %v, %v", states, err)
	}
	for steps := 1; steps <= len(states); steps++ {
		for range steps {
			if _, err := m.Down(t.Context(), false); err != nil {
				t.Fatalf("Down, %d of them: %v", steps, err)
			}
		}
		if up, err := m.Up(t.Context()); err != nil || len(up) != steps {
			t.Fatalf("Up after %d Down = %v, %v", steps, up, err)
		}
		if diff := cmp.Diff(want, dump(t, look)); diff != "" {
			t.Errorf("%d down and up (-before +after):\n%s", steps, diff)
		}
	}
}

// A user who may not make publications migrates up and down all the same; one that
// somebody else has made stays.
func TestMigrator_WithoutTheRightToPublish(t *testing.T) {
	t.Parallel()
	admin := devtest.EmptyPostgres(t)
	w := sidePool(t, admin)
	login := devtest.Login(t, admin)
	u, err := url.Parse(login)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := w.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	database := "DATABASE " + strings.TrimPrefix(u.Path, "/")
	exec("GRANT CREATE ON " + database + " TO " + u.User.Username()) // for the schema
	exec("GRANT CREATE ON SCHEMA public TO " + u.User.Username())
	t.Cleanup(func() { _, _ = w.Exec(context.Background(), "DROP OWNED BY "+u.User.Username()+" CASCADE") })
	m := migrator(t, login)
	step := func(what string, publications int, run func() error) {
		t.Helper()
		if err := run(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n := len(dump(t, w)["publications"]); n != publications {
			t.Errorf("publications after %s = %d, want %d", what, n, publications)
		}
	}
	up := func() error { _, err := m.Up(t.Context()); return err }
	down := func() error { // until the one that makes it is taken back
		for {
			done, err := m.Down(t.Context(), false)
			if err != nil || strings.HasSuffix(done[0].Name, "00008_wal.sql") {
				return err
			}
		}
	}
	step("Up", 1, up)
	step("Down", 0, down)
	exec("REVOKE CREATE ON " + database + " FROM " + u.User.Username())
	step("Up without the right", 0, up)
	step("Down of what is not there", 0, down)
	exec("CREATE PUBLICATION outbox_wake")
	step("Up with somebody's", 1, up)
	step("Down with somebody's", 1, down)
}

func TestMigrator_FourAtOnce(t *testing.T) {
	t.Parallel()
	url := devtest.EmptyPostgres(t)
	type result struct {
		applied int
		err     error
	}
	results := make(chan result, 4)
	for range 4 {
		m := migrator(t, url)
		go func() {
			up, err := m.Up(t.Context())
			results <- result{len(up), err}
		}()
	}
	applied := 0
	for range 4 {
		r := <-results
		if r.err != nil {
			t.Errorf("Up: %v", r.err)
		}
		applied += r.applied
	}
	states, err := migrator(t, url).Status(t.Context())
	if err != nil {
		t.Fatalf("Status: %v", err)
	}
	if applied != len(states) {
		t.Errorf("four migrators applied %d migrations, want %d", applied, len(states))
	}
	for _, s := range states {
		if !s.Applied || s.AppliedAt.IsZero() {
			t.Errorf("Status: %+v, want applied", s)
		}
	}
}

// The table lies outside schema outbox, and is nobody else's.
func TestMigrator_TableIsItsOwn(t *testing.T) {
	t.Parallel()
	url := devtest.EmptyPostgres(t)
	if _, err := migrator(t, url).Up(t.Context()); err != nil {
		t.Fatalf("Up: %v", err)
	}
	rows, _ := sidePool(t, url).Query(t.Context(), "SELECT schemaname || '.' || tablename FROM pg_tables WHERE tablename LIKE '%migrations' OR tablename LIKE 'goose%'")
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"public." + db.MigrationsTable}, got); diff != "" {
		t.Errorf("version tables (-want +got):\n%s", diff)
	}
}

func sidePool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatalf("pgxpool.New: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

// dump describes schema outbox as the catalog has it.
func dump(t *testing.T, p *pgxpool.Pool) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name, sql := range map[string]string{
		"columns": `SELECT concat_ws(' ', table_name, rank() OVER (PARTITION BY table_name ORDER BY ordinal_position), column_name, data_type, is_nullable, column_default, is_identity, identity_generation, generation_expression)
			FROM information_schema.columns WHERE table_schema = 'outbox'`,
		"constraints":  `SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = to_regnamespace('outbox')`,
		"indexes":      `SELECT indexdef FROM pg_indexes WHERE schemaname = 'outbox'`,
		"options":      `SELECT relname || ' ' || relkind::text || ' ' || coalesce(reloptions::text, '') FROM pg_class WHERE relnamespace = to_regnamespace('outbox')`,
		"functions":    `SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = to_regnamespace('outbox')`,
		"triggers":     `SELECT pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.relnamespace = to_regnamespace('outbox') AND NOT t.tgisinternal`,
		"publications": `SELECT p.pubname || ' ' || p.puballtables || ' ' || (SELECT count(*) FROM pg_publication_rel AS r WHERE r.prpubid = p.oid) FROM pg_publication AS p`,
		"grants": `SELECT 'schema ' || coalesce(nspacl::text, '') FROM pg_namespace WHERE nspname = 'outbox'
			UNION ALL SELECT relname || ' ' || relacl::text FROM pg_class WHERE relnamespace = to_regnamespace('outbox') AND relacl IS NOT NULL
			UNION ALL SELECT attrelid::regclass || '.' || attname || ' ' || attacl::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = to_regnamespace('outbox') AND attacl IS NOT NULL
			UNION ALL SELECT oid::regprocedure || ' ' || coalesce(proacl::text, 'PUBLIC') FROM pg_proc WHERE pronamespace = to_regnamespace('outbox')`,
	} {
		rows, _ := p.Query(t.Context(), strings.TrimSpace(sql)+" ORDER BY 1")
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("dump %s: %v", name, err)
		}
		out[name] = lines
	}
	return out
}
