package db

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
)

// WALFacts is what a Postgres has of all that tailing its WAL takes.
type WALFacts struct {
	User         string // whom a relay logs in as
	Database     string
	Pooler       bool   // a pooler stands in between: it lets no replication session through
	Level        string // wal_level
	MayReplicate bool   // the user has the attribute REPLICATION
	Published    bool   // the publication is there
	MaxSlots     int
	Slots        int // in use
	OurSlots     int // of these, relays' that tail already
	MaxSenders   int
	Senders      int // in use
}

// DiagnoseWAL looks at the Postgres of url, where a relay is to tail the WAL, on a
// connection of its own.
func DiagnoseWAL(ctx context.Context, url string) (WALFacts, error) {
	c, err := parse(url)
	if err != nil {
		return WALFacts{}, err
	}
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
	if err != nil {
		return WALFacts{}, translate("connect", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	q := query.New(conn)
	pid, err := q.Ping(ctx)
	if err != nil {
		return WALFacts{}, translate("read process id", err)
	}
	row, err := q.WALFacts(ctx)
	if err != nil {
		return WALFacts{}, translate("look at the WAL's settings", err)
	}
	return WALFacts{
		User: row.UserName, Database: row.DatabaseName, Pooler: uint32(pid) != conn.PgConn().PID(),
		Level: row.WalLevel, MayReplicate: row.MayReplicate, Published: row.Published,
		MaxSlots: int(row.MaxSlots), Slots: int(row.Slots), OurSlots: int(row.OurSlots),
		MaxSenders: int(row.MaxSenders), Senders: int(row.Senders),
	}, nil
}
