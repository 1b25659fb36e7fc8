package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// tables is the first door: plain INSERTs in transactions of the producer's own.
type tables struct {
	pool *pgxpool.Pool
	log  *history.Log
}

func newTables(ctx context.Context, url string, log *history.Log) (*tables, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 2
	config.ConnConfig.ConnectTimeout = 2 * time.Second
	// A pooler in transaction mode has no prepared statements of ours.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	return &tables{pool: pool, log: log}, err
}

func (t *tables) close() { go t.pool.Close() } // a connection may hang, and the process ends

func (t *tables) insert(ctx context.Context, jobs []spec, back bool) (history.Word, error) {
	tx, err := t.pool.Begin(ctx)
	if err != nil {
		return "begin", err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	ids := make([]int64, len(jobs))
	for i, j := range jobs {
		var runAt *time.Time
		if !j.runAt.IsZero() {
			runAt = &j.runAt
		}
		err := tx.QueryRow(ctx, `INSERT INTO outbox.jobs (queue_name, priority, max_attempts, payload, run_at)
			VALUES ($1, $2, $3, $4::text::jsonb, coalesce($5, now())) RETURNING id`,
			j.queue, j.priority, j.maxAttempts, j.payload(), runAt).Scan(&ids[i])
		if err != nil {
			return history.RolledBack, err // never offered: there is nothing to note
		}
	}
	if err := t.log.Note(acts(history.Offered, jobs, ids)...); err != nil {
		return history.RolledBack, err
	}
	word := history.Committed
	if back {
		// Noted as rolled back whatever the answer: without a COMMIT nothing stays.
		word, err = history.RolledBack, tx.Rollback(ctx)
	} else if err = tx.Commit(ctx); err != nil {
		word = history.Unknown
		if errors.Is(err, pgx.ErrTxCommitRollback) {
			word = history.RolledBack
		}
	}
	return word, errors.Join(err, t.log.Note(acts(word, jobs, ids)...))
}

// api is the other door: POST /v1/jobs, one job a request.
type api struct {
	url    string
	client *http.Client
	log    *history.Log
}

func newAPI(url string, log *history.Log) *api {
	return &api{url: url, client: &http.Client{Timeout: txLimit}, log: log}
}

// insert posts the jobs one by one. back is for transactions, which HTTP has not.
func (a *api) insert(ctx context.Context, jobs []spec, _ bool) (history.Word, error) {
	for i := range jobs {
		one := jobs[i : i+1]
		if err := a.log.Note(acts(history.Offered, one, nil)...); err != nil {
			return history.RolledBack, err
		}
		word, id, err := a.post(ctx, one[0])
		if err := a.log.Note(acts(word, one, []int64{id})...); err != nil {
			return word, err
		}
		if err != nil {
			return word, err
		}
	}
	return history.Committed, nil
}

// post says Unknown for everything but a clear answer: a 5xx may come after the
// commit.
func (a *api) post(ctx context.Context, j spec) (history.Word, int64, error) {
	body := map[string]any{
		"queue_name": j.queue, "priority": j.priority, "max_attempts": j.maxAttempts, "payload": json.RawMessage(j.payload()),
	}
	if !j.runAt.IsZero() {
		body["run_at"] = j.runAt.UTC().Format(time.RFC3339Nano)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return history.RolledBack, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/v1/jobs", bytes.NewReader(text))
	if err != nil {
		return history.RolledBack, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return history.Unknown, 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return history.Unknown, 0, err
	case resp.StatusCode == http.StatusCreated:
		var made struct {
			ID int64 `json:"id"`
		}
		return history.Committed, made.ID, json.Unmarshal(answer, &made)
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		return history.RolledBack, 0, fmt.Errorf("POST /v1/jobs: %s: %s", resp.Status, answer)
	}
	return history.Unknown, 0, fmt.Errorf("POST /v1/jobs: %s: %s", resp.Status, answer)
}
