package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// business returns a connection to a database with Rookery's tables and the demo's.
func business(t *testing.T) (url string, conn *pgx.Conn) {
	t.Helper()
	url = devtest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	if _, err := conn.Exec(t.Context(), schemaSQL); err != nil {
		t.Fatal(err)
	}
	return url, conn
}

// plans has single rows, many, and a rolled-back transaction before, between and after.
func plans() []batch {
	return []batch{{3, true}, {1, false}, {few, false}, {few, true}, {few + 1, false}, {crowd, true}, {crowd, false}, {1, true}}
}

// checkBooks fails unless the committed recipients and the jobs are the same ones
// with the same facts, and none of them was rolled back.
func checkBooks(t *testing.T, conn *pgx.Conn, queue string) {
	t.Helper()
	type tally struct{ Recipients, RolledBack, Jobs, Matched, Ghosts int }
	var got, want tally
	const count = `SELECT
		(SELECT count(*) FROM campaign.recipients),
		(SELECT count(*) FROM campaign.rolled_back),
		(SELECT count(*) FROM outbox.jobs),
		(SELECT count(*) FROM outbox.jobs AS j JOIN campaign.recipients AS r
			ON j.payload = jsonb_build_object('recipient_id', r.id, 'campaign_id', r.campaign_id, 'email', r.email, 'name', r.name)
			WHERE j.queue_name = $1 AND j.kind = 'campaign.mail' AND j.status = 'queued'),
		(SELECT count(*) FROM campaign.rolled_back JOIN campaign.recipients ON id = recipient_id)`
	if err := conn.QueryRow(t.Context(), count, queue).Scan(&got.Recipients, &got.RolledBack, &got.Jobs, &got.Matched, &got.Ghosts); err != nil {
		t.Fatal(err)
	}
	for _, b := range plans() {
		if b.doomed {
			want.RolledBack += b.size
		} else {
			want.Recipients += b.size
		}
	}
	want.Jobs, want.Matched = want.Recipients, want.Recipients
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
}

func TestProducer_WritesRecipientsAndJobsOrNeither(t *testing.T) {
	t.Parallel()
	_, conn := business(t)
	p := &producer{name: "go-1", queue: "mail:test", conn: conn}
	if err := p.mailing(t.Context(), 0, plans()); err != nil {
		t.Fatal(err)
	}
	checkBooks(t, conn, "mail:test")
}

func TestPsql_WritesRecipientsAndJobsOrNeither(t *testing.T) {
	t.Parallel()
	url, conn := business(t)
	var script strings.Builder
	if err := feedWave(&script, 0, plans()); err != nil {
		t.Fatal(err)
	}
	runScript(t, url, script.String())
	checkBooks(t, conn, "mail:test")
}

// runScript lets psql run text as the demo does.
func runScript(t *testing.T, url, text string) {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	psql := findPsql("")
	if psql == "" {
		t.Fatal("psql is not installed; type: sudo apt-get install -y postgresql-client")
	}
	c, err := launcher{env: os.Environ(), logs: t.TempDir()}.start("psql", in, psql, psqlArguments("mail:test", url)...)
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteString(text); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if err := c.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestHidePassword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, target, env string }{
		{"postgres://u:p%40ss@h:1/d?sslmode=disable", "postgres://u@h:1/d?sslmode=disable", "PGPASSWORD=p@ss"},
		{"postgres://u@h/d", "postgres://u@h/d", ""},
		{"postgres://h/d", "postgres://h/d", ""},
	} {
		target, env, err := hidePassword(c.in)
		if err != nil || target != c.target || strings.Join(env, " ") != c.env {
			t.Errorf("hidePassword(%q) = %q, %q, %v, want %q, %q", c.in, target, env, err, c.target, c.env)
		}
	}
	if _, _, err := hidePassword("postgres://u:secret\x00@h/d"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("hidePassword(no URL) = %v, want an error without the password", err)
	}
}
