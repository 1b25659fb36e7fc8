package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
)

// State is who lives and how they are doing, as Postgres knows it.
type State struct {
	Relays, Workers int           // that have beaten within 20 s
	RedisSilent     time.Duration // since any process said that it reached Redis
	Held            int64         // jobs in ledger rows that workers hold
	Waiting         bool          // jobs are due
}

// DiagnoseState reads it, on a connection of its own.
func DiagnoseState(ctx context.Context, url string) (State, error) {
	c, err := parse(url)
	if err != nil {
		return State{}, err
	}
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
	if err != nil {
		return State{}, translate("connect", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	row, err := query.New(conn).StateFacts(ctx)
	if err != nil {
		return State{}, translate("read state", err)
	}
	return State{
		Relays: int(row.Relays), Workers: int(row.Workers), RedisSilent: milliseconds(row.SilentMs), Held: row.Held, Waiting: row.Waiting,
	}, nil
}
