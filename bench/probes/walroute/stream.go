package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// statusEvery is short, so that a phase ends soon after its last row.
const statusEvery = 200 * time.Millisecond

// stream is the replication session. One goroutine uses it.
type stream struct {
	conn  *pgconn.PgConn
	to    *router
	ended pglogrepl.LSN // the end of the last transaction that was read
	open  bool          // within a transaction
	rows  []row         // of it
}

// openStream makes a persistent slot and begins to read.
func openStream(ctx context.Context, url string, to *router) (*stream, error) {
	c, err := pgconn.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	made, err := pglogrepl.CreateReplicationSlot(ctx, c, "routed", "pgoutput", pglogrepl.CreateReplicationSlotOptions{
		SnapshotAction: "NOEXPORT_SNAPSHOT", Mode: pglogrepl.LogicalReplication,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create slot: %w", err), c.Close(ctx))
	}
	s := &stream{conn: c, to: to}
	if s.ended, err = pglogrepl.ParseLSN(made.ConsistentPoint); err != nil {
		return nil, errors.Join(fmt.Errorf("create slot: %w", err), c.Close(ctx))
	}
	to.add(nil, s.ended)
	err = pglogrepl.StartReplication(ctx, c, "routed", s.ended, pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication, PluginArgs: []string{"proto_version '1'", "publication_names 'routed'", "binary 'true'"},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start replication: %w", err), c.Close(ctx))
	}
	return s, nil
}

// run reads until ctx ends. It reads below pgconn, whose ReceiveMessage starts a
// goroutine for every message, which here is every row.
func (s *stream) run(ctx context.Context) error {
	defer func() { _ = s.conn.Close(context.WithoutCancel(ctx)) }()
	for ctx.Err() == nil {
		if err := s.report(ctx, true); err != nil {
			return err
		}
		if err := s.conn.Conn().SetReadDeadline(time.Now().Add(statusEvery)); err != nil {
			return err
		}
		for {
			msg, err := s.conn.Frontend().Receive()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return fmt.Errorf("read WAL: %w", err)
			}
			if err := s.take(ctx, msg); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// report confirms what is claimed, and nothing beyond it.
func (s *stream) report(ctx context.Context, ask bool) error {
	return pglogrepl.SendStandbyStatusUpdate(ctx, s.conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: s.to.confirmed(), ReplyRequested: ask})
}

func (s *stream) take(ctx context.Context, msg pgproto3.BackendMessage) error {
	switch msg := msg.(type) {
	case *pgproto3.ErrorResponse:
		return pgconn.ErrorResponseToPgError(msg)
	case *pgproto3.CopyData:
		switch msg.Data[0] {
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			k, err := pglogrepl.ParsePrimaryKeepaliveMessage(msg.Data[1:])
			if err != nil {
				return err
			}
			if !s.open {
				s.to.add(nil, k.ServerWALEnd)
			}
			if k.ReplyRequested {
				return s.report(ctx, false)
			}
		case pglogrepl.XLogDataByteID:
			x, err := pglogrepl.ParseXLogData(msg.Data[1:])
			if err != nil {
				return err
			}
			return s.decode(x.WALData)
		}
		return nil
	default:
		return fmt.Errorf("unexpected %T in the stream", msg)
	}
}

// decode gathers the rows of a transaction and hands them on at its commit.
func (s *stream) decode(data []byte) error {
	kind := pglogrepl.MessageType(data[0]) // of many; the others say nothing of rows
	if kind == pglogrepl.MessageTypeBegin {
		s.open, s.rows = true, s.rows[:0]
	}
	if kind == pglogrepl.MessageTypeInsert {
		r, queued, err := decodeRow(data, s.to.whole)
		if err != nil {
			return err
		}
		if queued {
			r.before = s.ended
			s.rows = append(s.rows, r)
		}
	}
	if kind == pglogrepl.MessageTypeCommit {
		m, err := pglogrepl.Parse(data)
		if err != nil {
			return fmt.Errorf("decode: %w", err)
		}
		s.open, s.ended = false, m.(*pglogrepl.CommitMessage).TransactionEndLSN
		s.to.add(s.rows, s.ended)
	}
	return nil
}
