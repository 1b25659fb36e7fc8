package db

import (
	"context"

	"github.com/penguinmails/rookery/db/internal/query"
)

const (
	hourMinutes = 60
	maxRollUps  = 60 // statements of one length in one call of RollUp: 60 hours are caught up with
)

// RollUp makes the rollups that are due: of hours and five minutes that are over, and of
// older ones whose minutes were written since. Several relays may call it; one does it,
// and the others have nothing to do. After a stop of days it takes a few calls; until
// then charts read the minutes, and show the same.
func (s *Store) RollUp(ctx context.Context) error {
	var lengths []int16
	err := s.seeing(ctx, "list rollups", func(q *query.Queries) (err error) {
		lengths, err = q.ListRollUps(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, minutes := range lengths {
		for range maxRollUps {
			more, err := s.rollUp(ctx, minutes)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// rollUp makes the newest rollups of one length that are due, an hour's worth, and
// reports whether there may be more. It commits what it made.
func (s *Store) rollUp(ctx context.Context, minutes int16) (more bool, err error) {
	most := int32(hourMinutes / minutes)
	err = s.transact(ctx, "roll up", func(q *query.Queries) error {
		more = false
		got, err := q.TryRollUp(ctx)
		if err != nil || !got {
			return err
		}
		made, err := q.RollUp(ctx, query.RollUpParams{Minutes: minutes, Most: most})
		more = made == int64(most)
		return err
	})
	return more, err
}
