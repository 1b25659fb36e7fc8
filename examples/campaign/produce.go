package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/jackc/pgx/v5"
)

// names are what people are called; the plain ones are the fewest.
func names() []string {
	return []string{
		"Ada", "Zoë", "Łukasz", "Ólafur", "Nguyễn Thị Minh", "Gentoo O’Brien", `Rocky "Hopper"`, "Adélie & Söhne",
		"<b>Bold</b>", "皇帝ペンギン", "Мария", "Eve\r\nBcc: everybody@example.test",
	}
}

// producer is one application process that writes recipients and enqueues their
// mail in the same transaction.
type producer struct {
	name  string
	queue string
	conn  *pgx.Conn
}

// runProducer is the sub-mode produce.
func runProducer(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("campaign produce", flag.ContinueOnError)
	name := flags.String("name", "go", "name in campaign.recipients.producer")
	queue := flags.String("queue", "email:processing", "queue of the jobs")
	recipients := flags.Int("recipients", 1000, "recipients to commit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("connect producer: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p := &producer{name: *name, queue: *queue, conn: conn}
	return everyWave(ctx, *recipients, p.mailing)
}

// mailing creates one campaign and its recipients.
func (p *producer) mailing(ctx context.Context, wave int, plan []batch) error {
	var campaignID int64
	const create = `INSERT INTO campaign.campaigns (name, producer) VALUES ($1, $2) RETURNING id`
	if err := p.conn.QueryRow(ctx, create, fmt.Sprintf("Vote %d", wave+1), p.name).Scan(&campaignID); err != nil {
		return fmt.Errorf("create campaign: %w", err)
	}
	for _, b := range plan {
		letters, err := p.reserve(ctx, campaignID, b)
		if err != nil {
			return err
		}
		if err := p.transact(ctx, letters, b.doomed); err != nil {
			return err
		}
	}
	return nil
}

// reserve draws the ids of a batch. Those of a doomed one are noted in a
// transaction that ends before theirs begins.
func (p *producer) reserve(ctx context.Context, campaignID int64, b batch) ([]letter, error) {
	rows, err := p.conn.Query(ctx, `SELECT nextval('campaign.recipient_ids') FROM generate_series(1, $1)`, b.size)
	if err != nil {
		return nil, fmt.Errorf("reserve ids: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("reserve ids: %w", err)
	}
	if b.doomed {
		const note = `INSERT INTO campaign.rolled_back (recipient_id, producer) SELECT unnest($1::bigint[]), $2`
		if _, err := p.conn.Exec(ctx, note, ids, p.name); err != nil {
			return nil, fmt.Errorf("note doomed ids: %w", err)
		}
	}
	people := names()
	letters := make([]letter, len(ids))
	for i, id := range ids {
		letters[i] = letter{
			CampaignID: campaignID, RecipientID: id,
			Email: fmt.Sprintf("reader.%d@readers.example", id), Name: people[rand.IntN(len(people))],
		}
	}
	return letters, nil
}

// transact is the point of it all: the business rows and the jobs in one
// transaction, which commits both or neither.
func (p *producer) transact(ctx context.Context, letters []letter, doomed bool) error {
	tx, err := p.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // does nothing after Commit

	_, err = tx.CopyFrom(ctx, pgx.Identifier{"campaign", "recipients"}, []string{"id", "campaign_id", "email", "name", "producer"},
		pgx.CopyFromSlice(len(letters), func(i int) ([]any, error) {
			l := letters[i]
			return []any{l.RecipientID, l.CampaignID, l.Email, l.Name, p.name}, nil
		}))
	if err != nil {
		return fmt.Errorf("insert recipients: %w", err)
	}
	if err := p.enqueue(ctx, tx, letters); err != nil {
		return err
	}
	if doomed {
		return tx.Rollback(ctx)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
