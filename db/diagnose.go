package db

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
)

// Facts is what can be told of a Postgres and of our place in it.
type Facts struct {
	Version      int      // as in server_version_num: 150018 is 15.18
	Standby      bool     // it is in recovery: nothing can be written
	User         string   // whom we are logged in as
	Pooler       bool     // a pooler stands in between: LISTEN and pinned plans do not get through
	FsyncOff     bool     // a crash loses what was committed
	AsyncCommit  bool     // synchronous_commit is off for this user
	MissingRoles []string // of those that migrations make
	MayServe     bool     // the user has the rights of relays and workers; false before the schema is there
	Rights       Rights   // in detail; zero before the schema is there
	GateHolders  []string // applications that hold the gate just now
}

// Diagnose looks at the Postgres of url, on a connection of its own.
func Diagnose(ctx context.Context, url string) (Facts, error) {
	c, err := parse(url)
	if err != nil {
		return Facts{}, err
	}
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
	if err != nil {
		return Facts{}, translate("connect", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	q := query.New(conn)
	row, err := q.ServerFacts(ctx)
	if err != nil {
		return Facts{}, translate("read settings", err)
	}
	f := Facts{
		Version: int(row.VersionNum), Standby: row.Standby, User: row.UserName,
		Pooler: uint32(row.Pid) != conn.PgConn().PID(), FsyncOff: row.Fsync == "off", AsyncCommit: row.SynchronousCommit == "off",
	}
	if f.MissingRoles, err = q.MissingRoles(ctx); err != nil {
		return f, translate("look for roles", err)
	}
	if f.MayServe, err = q.MayServe(ctx); err != nil {
		return f, nil //nolint:nilerr // the tables are not there yet, which the migrations' status says better
	}
	if f.Rights, err = rightsOf(ctx, conn); err != nil {
		return f, err
	}
	holders, err := q.GateHolder(ctx)
	for _, h := range holders {
		f.GateHolders = append(f.GateHolders, h.ApplicationName)
	}
	return f, translate("look for the gate", err)
}
