package rookery

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/job"
)

// OpenEvents has what becomes of jobs noted for [job.EventsKept] from now on, or, long,
// for [job.EventsKeptLong].
func (j *Jobs) OpenEvents(ctx context.Context, long bool) error {
	return j.store.OpenEvents(ctx, long)
}

// EventsSince returns where an export begins that wants what happened since a moment, as
// far as it is kept, and from when on nothing of it is missing. [Jobs.OpenEvents] must
// have been called.
func (j *Jobs) EventsSince(ctx context.Context, since time.Time) (job.ExportStart, error) {
	return j.store.EventsSince(ctx, since)
}

// Events returns a page of what became of jobs behind a cursor; the zero one is the
// present. With detail events have the facts for an export. Nothing is passed over
// but what a gap tells of: docs/adr/0014-events.md.
func (j *Jobs) Events(ctx context.Context, from job.EventCursor, detail bool) (job.EventPage, error) {
	return j.store.Events(ctx, from, detail)
}
