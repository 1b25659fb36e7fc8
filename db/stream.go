package db

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Publication is what a relay that tails the WAL names to pgoutput. It is empty: only
// messages are read. A migration makes it.
const Publication = "outbox_wake"

const (
	streamStep  = 5 * time.Second // of every step but the slot's creation
	slowSlot    = 5 * time.Second // the slot waits for writers: say so
	statusEvery = time.Second
	unanswered  = 3 // questions in a row that say that nobody is there
)

var (
	errNoPublication = errors.New("publication " + Publication + " is missing")
	errSilent        = errors.New("the replication session does not answer")
	errStreamEnded   = errors.New("the server has ended the replication session")
)

// stream is one replication session. It holds WAL back from being removed while it
// lives, so it says every second what it has read; a reader that is frozen is cut by
// Postgres after ten. The slot is temporary: it ends with the session.
type stream struct {
	conn *pgconn.PgConn
	read pglogrepl.LSN // all before it
	xid  uint64        // of the transaction that was begun last, with its epoch
}

// streamConfig is that of the replication session: its limits are its own, whatever
// the role's are.
func streamConfig(url string) (*pgconn.Config, error) {
	c, err := parse(url)
	if err != nil {
		return nil, err
	}
	config := c.ConnConfig.Config.Copy()
	for name, value := range map[string]string{
		"replication":          "database",
		"application_name":     "rookery tail",
		"wal_sender_timeout":   "10s",
		"idle_session_timeout": "10s", // between the slot's creation and its use
		"lock_timeout":         "0",   // the slot's creation waits, as long as writers take
		"statement_timeout":    "0",
	} {
		config.RuntimeParams[name] = value
	}
	// While the slot is made nothing is said, so the kernel must find out that nobody
	// is there.
	config.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	return config, nil
}

// openStream begins to read the WAL. It waits for every transaction that was open and
// had written when it began; slow is called when that takes long. When ctx ends the
// attempt is called off on the server too: its slot holds WAL.
func openStream(ctx context.Context, config *pgconn.Config, slow func()) (*stream, error) {
	c, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &stream{conn: c}
	if err := s.begin(ctx, slow); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *stream) begin(ctx context.Context, slow func()) error {
	if err := s.look(ctx); err != nil {
		return err
	}
	suffix := make([]byte, 8)
	_, _ = rand.Read(suffix) // never fails
	slot := "rookery_wake_" + hex.EncodeToString(suffix)
	late := time.AfterFunc(slowSlot, slow)
	made, err := pglogrepl.CreateReplicationSlot(ctx, s.conn, slot, "pgoutput", pglogrepl.CreateReplicationSlotOptions{
		Temporary: true, SnapshotAction: "NOEXPORT_SNAPSHOT", Mode: pglogrepl.LogicalReplication,
	})
	late.Stop()
	if err != nil {
		return fmt.Errorf("create slot: %w", err)
	}
	if s.read, err = pglogrepl.ParseLSN(made.ConsistentPoint); err != nil {
		return fmt.Errorf("create slot: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, streamStep)
	defer cancel()
	err = pglogrepl.StartReplication(ctx, s.conn, slot, s.read, pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication, PluginArgs: []string{"proto_version '1'", "publication_names '" + Publication + "'", "messages 'true'"},
	})
	if err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	return nil
}

// look makes sure of the publication, because pgoutput misses it only at the first
// change of a row, perhaps hours later; and reads what transaction ids begin with,
// because the WAL has their last 32 bits.
func (s *stream) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, streamStep)
	defer cancel()
	results, err := s.conn.Exec(ctx, `SELECT (SELECT count(*) FROM pg_catalog.pg_publication WHERE pubname = '`+Publication+`'),
		pg_snapshot_xmax(pg_current_snapshot())`).ReadAll()
	if err != nil {
		return fmt.Errorf("look for the publication: %w", err)
	}
	row := results[0].Rows[0]
	if string(row[0]) == "0" {
		return errNoPublication
	}
	if s.xid, err = strconv.ParseUint(string(row[1]), 10, 64); err != nil {
		return fmt.Errorf("read transaction id: %w", err)
	}
	return nil
}

// close ends the session, and with it the slot.
func (s *stream) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // the server ends a session it does not hear of
	select {
	case <-s.conn.CleanupDone(): // a call that was broken off is called off on the server
	case <-ctx.Done():
	}
}

// tail calls found for each transaction that sent a message, until ctx ends or the
// session breaks.
func (s *stream) tail(ctx context.Context, found func(xid uint64)) error {
	asked, next := 0, time.Now()
	for {
		if !time.Now().Before(next) {
			if asked == unanswered {
				return errSilent
			}
			if err := s.report(ctx, true); err != nil {
				return err
			}
			asked++
			next = time.Now().Add(statusEvery)
		}
		waiting, cancel := context.WithDeadline(ctx, next)
		msg, err := s.conn.ReceiveMessage(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case pgconn.Timeout(err):
			continue
		case err != nil:
			return err
		}
		asked = 0
		if err := s.take(ctx, msg, found); err != nil {
			return err
		}
	}
}

// report tells the server what has been read, and may ask for an answer. That all of
// it counts as done is right here and only here: a message is an alarm, not data.
func (s *stream) report(ctx context.Context, ask bool) error {
	return pglogrepl.SendStandbyStatusUpdate(ctx, s.conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: s.read, ReplyRequested: ask})
}

func (s *stream) take(ctx context.Context, msg pgproto3.BackendMessage, found func(xid uint64)) error {
	switch msg := msg.(type) {
	case *pgproto3.ErrorResponse:
		return pgconn.ErrorResponseToPgError(msg)
	case *pgproto3.CopyDone, *pgproto3.CommandComplete, *pgproto3.ReadyForQuery:
		return errStreamEnded
	case *pgproto3.CopyData:
		if len(msg.Data) == 0 {
			return nil
		}
		switch msg.Data[0] {
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			k, err := pglogrepl.ParsePrimaryKeepaliveMessage(msg.Data[1:])
			if err != nil {
				return err
			}
			s.read = max(s.read, k.ServerWALEnd)
			if k.ReplyRequested {
				return s.report(ctx, false)
			}
		case pglogrepl.XLogDataByteID:
			x, err := pglogrepl.ParseXLogData(msg.Data[1:])
			if err != nil {
				return err
			}
			s.read = max(s.read, x.WALStart)
			return s.decode(x.WALData, found)
		}
	}
	return nil
}

// decode reads what pgoutput makes of a transaction: its beginning, with its id, and
// its messages, those of other programs included.
func (s *stream) decode(data []byte, found func(xid uint64)) error {
	if len(data) == 0 || data[0] != byte(pglogrepl.MessageTypeBegin) && data[0] != byte(pglogrepl.MessageTypeMessage) {
		return nil
	}
	part, err := pglogrepl.Parse(data)
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	switch part := part.(type) {
	case *pglogrepl.BeginMessage:
		s.xid = widen(s.xid, part.Xid)
	case *pglogrepl.LogicalDecodingMessage:
		if part.Prefix == "outbox" {
			found(s.xid)
		}
	}
	return nil
}

// widen returns the transaction id whose last 32 bits are xid and which is nearest to
// near.
func widen(near uint64, xid uint32) uint64 {
	return near + uint64(int64(int32(xid-uint32(near))))
}
