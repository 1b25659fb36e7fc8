package db

import (
	"context"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Storage says what jobs take in Postgres, by its statistics.
func (s *Store) Storage(ctx context.Context) (job.Storage, error) {
	var out job.Storage
	err := s.seeing(ctx, "look at storage", func(q *query.Queries) error {
		tables, err := q.ListTables(ctx)
		if err != nil {
			return err
		}
		for _, t := range tables {
			size := job.TableSize{Name: t.Name, Bytes: t.Bytes, Rows: t.Live, Dead: t.Dead}
			if at := t.VacuumAt; at.Unix() > 0 {
				size.VacuumAt = &at
			}
			out.Tables = append(out.Tables, size)
		}
		ledger, err := q.LedgerFacts(ctx)
		out.Ledger, out.Oldest = ledger.Batches, milliseconds(ledger.OldestMs)
		return err
	})
	return out, err
}
