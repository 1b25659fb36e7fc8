package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack"
)

// Template is a migrated cluster that stages copy: initdb and migrations once.
type Template struct{ dir string }

// watcher notes each change of a job's row in the database itself, in the same
// transaction: what Postgres accepted, whoever asked. It is the verifier's view of
// outcomes, which it could not have from the processes under test.
const watcher = `
CREATE SCHEMA chaos;
CREATE TABLE chaos.changes (
    n            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    job_id       bigint NOT NULL,
    was          text NOT NULL,
    becomes      text NOT NULL,
    was_dispatch bigint,
    dispatch     bigint,
    attempt      integer NOT NULL,
    failures     smallint NOT NULL,
    losses       smallint NOT NULL
);
CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.changes (job_id, was, becomes, was_dispatch, dispatch, attempt, failures, losses)
    SELECT b.id, a.status, b.status, a.dispatch_id, b.dispatch_id, b.attempt_count, b.failure_count, b.lost_count
    FROM became AS b JOIN been AS a ON a.id = b.id
    WHERE a.status <> b.status OR a.dispatch_id IS DISTINCT FROM b.dispatch_id;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_note AFTER UPDATE ON outbox.jobs REFERENCING OLD TABLE AS been NEW TABLE AS became
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.note();`

// NewTemplate makes the cluster in dir, with the database rookery, which it has the
// program in bin migrate.
func NewTemplate(ctx context.Context, dir, bin string) (_ *Template, err error) {
	p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return nil, fmt.Errorf("make template: %w", err)
	}
	_, err = conn.Exec(ctx, `CREATE DATABASE rookery`)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return nil, fmt.Errorf("make template: %w", err)
	}
	migrate := exec.CommandContext(ctx, filepath.Join(bin, "rookery"), "migrate", "up")
	migrate.Env = []string{"DATABASE_URL=" + p.URL("rookery"), "REDIS_URL=redis://127.0.0.1:1", "PATH=" + os.Getenv("PATH")}
	if out, err := migrate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrate template: %w\n%s", err, out)
	}
	if conn, err = pgx.Connect(ctx, p.URL("rookery")); err != nil {
		return nil, fmt.Errorf("make template: %w", err)
	}
	_, err = conn.Exec(ctx, watcher+users)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return nil, fmt.Errorf("watch template: %w", err)
	}
	return &Template{dir: dir}, nil
}

// copyTo copies the cluster to dir, owners included.
func (t *Template) copyTo(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cp := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", filepath.Join(t.dir, "data"), filepath.Join(dir, "data"))
	if out, err := cp.CombinedOutput(); err != nil {
		return fmt.Errorf("copy template: %w\n%s", err, out)
	}
	return nil
}

// Build builds the programs that play into dir, without the race detector: its cost
// would hide the races between processes that a chaos run is after.
func Build(ctx context.Context, dir string) error {
	const module = "github.com/penguinmails/rookery"
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator),
		module+"/cmd/rookery", module+"/test/chaos/worker", module+"/test/chaos/producer", module+"/test/chaos/client", module+"/test/chaos/receiver")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}
