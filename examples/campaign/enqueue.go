package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/outbox"
)

// few is how many letters are still enqueued one by one.
const few = 5

// enqueue puts one job for each letter into the producer's transaction.
func (p *producer) enqueue(ctx context.Context, tx pgx.Tx, letters []letter) error {
	options := outbox.Options{QueueName: p.queue}
	if len(letters) <= few {
		for _, l := range letters {
			if _, err := outbox.Insert(ctx, tx, l, options); err != nil {
				return fmt.Errorf("enqueue mail: %w", err)
			}
		}
		return nil
	}
	items := make([]outbox.Item, len(letters))
	for i, l := range letters {
		items[i] = outbox.Item{Args: l, Options: options}
	}
	if _, err := outbox.InsertMany(ctx, tx, items); err != nil {
		return fmt.Errorf("enqueue mails: %w", err)
	}
	return nil
}
