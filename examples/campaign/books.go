package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// books reads what the business tables and the outbox say.
type books struct {
	db    *pgxpool.Pool
	queue string
}

// committed counts the recipients that exist.
func (b books) committed(ctx context.Context) (n int, err error) {
	err = b.db.QueryRow(ctx, `SELECT count(*) FROM campaign.recipients`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count recipients: %w", err)
	}
	return n, nil
}

// unfinished counts the jobs that are not over.
func (b books) unfinished(ctx context.Context) (n int, err error) {
	const count = `SELECT count(*) FROM outbox.jobs WHERE queue_name = $1 AND status IN ('queued', 'dispatched', 'running')`
	if err = b.db.QueryRow(ctx, count, b.queue).Scan(&n); err != nil {
		return 0, fmt.Errorf("count unfinished jobs: %w", err)
	}
	return n, nil
}

// settled waits until no job of the queue is unfinished.
func (b books) settled(ctx context.Context) error {
	for {
		n, err := b.unfinished(ctx)
		if err != nil || n == 0 {
			return err
		}
		if err := pause(ctx, cadence/20); err != nil {
			return fmt.Errorf("%s jobs are not finished: %w", thousands(n), err)
		}
	}
}

// compare reads the business tables and the mail in dir, and verifies one against
// the other.
func (b books) compare(ctx context.Context, dir string) (verdict, error) {
	rows, err := b.db.Query(ctx, `SELECT id, campaign_id, email, created_at FROM campaign.recipients`)
	if err != nil {
		return verdict{}, fmt.Errorf("read recipients: %w", err)
	}
	committed, err := pgx.CollectRows(rows, pgx.RowToStructByPos[recipient])
	if err != nil {
		return verdict{}, fmt.Errorf("read recipients: %w", err)
	}
	rows, err = b.db.Query(ctx, `SELECT recipient_id FROM campaign.rolled_back`)
	if err != nil {
		return verdict{}, fmt.Errorf("read rolled-back recipients: %w", err)
	}
	rolledBack, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return verdict{}, fmt.Errorf("read rolled-back recipients: %w", err)
	}
	index, err := os.Open(filepath.Join(dir, "received.jsonl"))
	if err != nil {
		return verdict{}, fmt.Errorf("open mail index: %w", err)
	}
	defer index.Close()
	mails, err := readReceipts(index)
	if err != nil {
		return verdict{}, err
	}
	return verify(committed, rolledBack, mails), nil
}

// inWords returns what an outcome of outbox.attempts means in this demo. What is
// none of them speaks for itself.
func inWords(name string) string {
	switch name {
	case "fail":
		return "after a 451"
	case "lose":
		return "from a killed worker"
	case "missing":
		return "out of the flushed Redis"
	}
	return name
}

// tallies returns the figures of the report, each "what: 12 this · 3 that".
func (b books) tallies(ctx context.Context) ([]string, error) {
	var lines []string
	for _, t := range []struct{ what, query string }{
		{"committed", `SELECT producer, count(*) FROM campaign.recipients WHERE $1 <> '' GROUP BY 1 ORDER BY 1`},
		{"rolled back", `SELECT producer, count(*) FROM campaign.rolled_back WHERE $1 <> '' GROUP BY 1 ORDER BY 1`},
		{"jobs", `SELECT status, count(*) FROM outbox.jobs WHERE queue_name = $1 GROUP BY 1 ORDER BY 1`},
		{"came back", `SELECT a.outcome, count(*) FROM outbox.attempts AS a JOIN outbox.jobs AS j ON j.id = a.job_id WHERE j.queue_name = $1 GROUP BY 1 ORDER BY 1`},
	} {
		rows, err := b.db.Query(ctx, t.query, b.queue)
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", t.what, err)
		}
		var name string
		var n int
		var parts []string
		if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error {
			parts = append(parts, thousands(n)+" "+inWords(name))
			return nil
		}); err != nil {
			return nil, fmt.Errorf("count %s: %w", t.what, err)
		}
		if len(parts) == 0 {
			parts = []string{"none"}
		}
		lines = append(lines, fmt.Sprintf("%-18s%s", t.what, strings.Join(parts, " · ")))
	}
	return lines, nil
}
