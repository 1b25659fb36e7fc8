package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// partitions keeps outbox.jobs as RANGE (id): one made ahead, the oldest dropped when
// all its jobs are over and old enough.
type partitions struct {
	s        *stage
	conn     *pgx.Conn
	size     int64  // ids of each
	options  string // storage parameters: LIKE does not copy them
	low, top int64  // the attached ones, but for stand-ins, cover low … top-1
}

// split makes the empty table a partitioned one, with the trigger on the parent.
func split(ctx context.Context, s *stage) (*partitions, error) {
	p := &partitions{s: s, size: int64(s.o.rate * s.o.keep.Seconds() / 1.5), low: 1, top: 1}
	var err error
	if p.conn, err = pgx.Connect(ctx, s.url("retention")); err != nil {
		return nil, err
	}
	var trigger string
	if err := p.conn.QueryRow(ctx, `
		SELECT array_to_string(c.reloptions, ', '), pg_get_triggerdef(t.oid)
		FROM pg_class AS c JOIN pg_trigger AS t ON t.tgrelid = c.oid
		WHERE c.oid = 'outbox.jobs'::regclass`).Scan(&p.options, &trigger); err != nil {
		return nil, err
	}
	if _, err := p.conn.Exec(ctx, `
		BEGIN;
		CREATE TABLE outbox.jobs_parent (LIKE outbox.jobs INCLUDING ALL) PARTITION BY RANGE (id);
		DROP TABLE outbox.jobs;
		ALTER TABLE outbox.jobs_parent RENAME TO jobs;
		`+trigger+`;
		COMMIT`); err != nil {
		return nil, err
	}
	for n := range int64(s.o.partitions - 4) { // stand-ins, for ids that nobody has
		if err := p.attach(ctx, fmt.Sprintf("outbox.jobs_empty_%d", n), -(n+1)*1000, -n*1000); err != nil {
			return nil, err
		}
	}
	return p, p.ahead(ctx)
}

func (p *partitions) run(ctx context.Context) error {
	defer func() { _ = p.conn.Close(context.WithoutCancel(ctx)) }()
	return every(ctx, 500*time.Millisecond, func() error {
		if err := p.ahead(ctx); err != nil {
			return err
		}
		return p.oldest(ctx)
	})
}

// ahead makes the next partition when half of the last one is used.
func (p *partitions) ahead(ctx context.Context) error {
	for p.s.count.inserted.Load()+p.size/2 > p.top-1 {
		if err := p.attach(ctx, fmt.Sprintf("outbox.jobs_%d", p.top), p.top, p.top+p.size); err != nil {
			return err
		}
		p.top += p.size
	}
	return nil
}

func (p *partitions) attach(ctx context.Context, name string, from, to int64) error {
	if err := p.ddl(ctx, "CREATE", "CREATE TABLE "+name+" (LIKE outbox.jobs INCLUDING ALL EXCLUDING IDENTITY) WITH ("+p.options+")"); err != nil {
		return err
	}
	return p.ddl(ctx, "ATTACH", fmt.Sprintf("ALTER TABLE outbox.jobs ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)", name, from, to))
}

// oldest drops the oldest partition, if its time has come. The newest job is asked
// first: reading all is for once. After DETACH they would have to be read again, since
// somebody may have redriven one meanwhile; that is not done here, which is in favour
// of partitions.
func (p *partitions) oldest(ctx context.Context) error {
	name := fmt.Sprintf("outbox.jobs_%d", p.low)
	var old bool
	if err := p.conn.QueryRow(ctx, `
		SELECT coalesce((SELECT created_at < now() - $1::bigint * interval '1 millisecond' FROM `+name+` ORDER BY id DESC LIMIT 1), false)`,
		p.s.o.keep.Milliseconds()).Scan(&old); err != nil || !old || p.low+p.size >= p.top {
		return err
	}
	var all, over int64
	err := p.s.seen.time("read all", func() error {
		return p.conn.QueryRow(ctx, `
			SELECT count(*), count(*) FILTER (WHERE status IN ('completed', 'cancelled', 'dead') AND finished_at < now() - $1::bigint * interval '1 millisecond')
			FROM `+name, p.s.o.keep.Milliseconds()).Scan(&all, &over)
	})
	if err != nil || over < all {
		return err
	}
	if err := p.ddl(ctx, "DETACH", "ALTER TABLE outbox.jobs DETACH PARTITION "+name+" CONCURRENTLY"); err != nil {
		return err
	}
	for _, table := range []string{"outbox.attempts", "outbox.dead_letters"} {
		if _, err := p.conn.Exec(ctx, "DELETE FROM "+table+" WHERE job_id >= $1 AND job_id < $2", p.low, p.low+p.size); err != nil {
			return err
		}
	}
	if err := p.ddl(ctx, "DROP", "DROP TABLE "+name); err != nil {
		return err
	}
	p.low += p.size
	p.s.count.removed.Add(all)
	return nil
}

func (p *partitions) ddl(ctx context.Context, verb, statement string) error {
	return p.s.seen.beside(verb, func() error {
		_, err := p.conn.Exec(ctx, statement)
		return err
	})
}
