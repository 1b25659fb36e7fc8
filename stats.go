package rookery

import (
	"context"

	"github.com/penguinmails/rookery/job"
)

// Stats returns what all processes did in the range of a chart, by step; steps in
// which nothing was done are left out. The newest figures are up to 70 s late: a
// process writes a minute once it has ended. A [*job.FieldError] says what is wrong
// with r.
func (j *Jobs) Stats(ctx context.Context, r job.StatRange) ([]job.StatPoint, error) {
	return j.store.Stats(ctx, r)
}

// Depths returns what waited in each queue, of every step of a chart the last minute
// that was noted, by queue and time.
func (j *Jobs) Depths(ctx context.Context, r job.StatRange) ([]job.Depth, error) {
	return j.store.Depths(ctx, r)
}
