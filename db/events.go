package db

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

const (
	eventRows   = 40     // rows of outbox.events in one page: statements, of up to some hundred jobs each
	soughtRows  = 100000 // rows of outbox.events that are passed over in one page
	prunedSlice = 10000  // rows of outbox.events that are deleted at once
)

// OpenEvents has what becomes of jobs noted for [job.EventsKept] from now on, or, long,
// for [job.EventsKeptLong]. It is to be called again well before that has passed.
func (s *Store) OpenEvents(ctx context.Context, long bool) error {
	p := query.OpenEventGateParams{OpenMs: job.EventsKept.Milliseconds()}
	if long {
		p.OpenMs, p.KeepMs = job.EventsKeptLong.Milliseconds(), job.EventsKeptLong.Milliseconds()
	}
	return s.seeing(ctx, "open events", func(q *query.Queries) error { return q.OpenEventGate(ctx, p) })
}

// Events returns what became of jobs behind a cursor, a page of it; the zero cursor is
// the present. With detail events have the facts for an export. Nothing that was committed
// is passed over, whatever the order in which transactions commit: see [job.EventPage] for
// the exception that is told.
func (s *Store) Events(ctx context.Context, from job.EventCursor, detail bool) (job.EventPage, error) {
	var p job.EventPage
	err := s.seeing(ctx, "events", func(q *query.Queries) error {
		gate, err := q.GetEventGate(ctx)
		if err != nil {
			return err
		}
		var settles bool
		if p, settles = follow(from, gate); p.Gap {
			return nil
		}
		err = page(ctx, q, &p, detail)
		if settles && !p.More {
			p.Next.Settled, p.Next.Fence, p.Gap = true, 0, true
		}
		return err
	})
	return p, err
}

// EventsSince returns where an export begins that wants what transactions did that began at
// a moment or later, as far as that is kept: the cursor is before all of it. The gate must
// be open.
func (s *Store) EventsSince(ctx context.Context, since time.Time) (job.ExportStart, error) {
	var start job.ExportStart
	err := s.seeing(ctx, "events since", func(q *query.Queries) error {
		gate, err := q.GetEventGate(ctx)
		if err != nil {
			return err
		}
		now, _ := follow(job.EventCursor{}, gate)
		c := now.Next
		// A snapshot that sees nothing, and the present one. What it has not seen by then, who
		// goes on from there sees, whenever it began.
		c.Since, c.At, c.Upto, c.UptoAt, c.From = "1:1:", gate.PrunedAt, gate.Snapshot, gate.Now, since
		// A statement that saw the gate shut has ended EventsSettle after it was opened, and
		// one of a transaction that began later has not seen it so.
		opened := gate.Now.Add(-time.Duration(gate.OpenMs) * time.Millisecond)
		start.At, start.CompleteFrom = c, opened.Add(job.EventsSettle)
		if gate.PrunedAt.After(start.CompleteFrom) {
			start.CompleteFrom = gate.PrunedAt
		}
		start.CompleteFrom = start.CompleteFrom.UTC()
		return nil
	})
	return start, err
}

// seek moves a cursor that has a From to the first row that began by then. found is
// false when it has come to the end of what is looked at in one page, and not to such
// a row.
func seek(ctx context.Context, q *query.Queries, c *job.EventCursor) (found bool, err error) {
	rows, err := q.SeekEvents(ctx, query.SeekEventsParams{FromAt: c.From, AfterTx: c.Tx, AfterID: c.ID, MaxScanned: soughtRows})
	if err != nil || len(rows) == 0 {
		return true, err
	}
	if c.Tx, c.ID = rows[0].Tx, rows[0].ID; rows[0].Found {
		c.ID-- // it is the next
	}
	return rows[0].Found, nil
}

// follow says how a cursor goes on: from where it stood up to this moment, or, after a
// gap, from this moment.
//
// A gate that was just opened is not settled: a statement that saw it shut may still
// run, and a transaction that did may still commit. The former end within
// [job.EventsSettle], by statement_timeout. After that all transactions that are under way
// are waited for. Then, settles, there is one more gap, and none from there on.
func follow(from job.EventCursor, gate query.GetEventGateRow) (p job.EventPage, settles bool) {
	present, _ := job.ParseSnapshot(gate.Snapshot) // Postgres' own
	since, _ := job.ParseSnapshot(from.Since)      // the zero one is never known
	now := job.EventCursor{Opening: gate.Opening, Line: gate.Timeline, At: gate.Now, Since: gate.Snapshot}
	known := gate.Open && from.Since != "" && from.Opening == gate.Opening && from.Line == gate.Timeline &&
		since.Xmax <= present.Xmax && !from.At.Before(gate.PrunedAt)
	fence := int64(0)
	if known {
		fence = from.Fence
	}
	if fence == 0 && time.Duration(gate.OpenMs)*time.Millisecond >= job.EventsSettle {
		fence = present.Xmax
	}
	settled := gate.Open && fence != 0 && present.Xmin >= fence
	if !known {
		now.Settled, now.Fence = settled, fence
		return job.EventPage{Next: now, Gap: true}, false
	}
	if !from.Settled {
		from.Fence = fence
	}
	if from.Upto == "" {
		settles = !from.Settled && settled
		from.Upto, from.UptoAt, from.Tx, from.ID = gate.Snapshot, gate.Now, 0, 0
	}
	return job.EventPage{Next: from}, settles
}

// page fills p with what lies between its two snapshots, and moves its cursor.
func page(ctx context.Context, q *query.Queries, p *job.EventPage, detail bool) error {
	c := &p.Next
	if !c.From.IsZero() {
		if found, err := seek(ctx, q, c); err != nil || !found {
			p.More = true
			return err
		}
	}
	rows, err := q.ListEvents(ctx, query.ListEventsParams{Since: c.Since, Upto: c.Upto, AfterTx: c.Tx, AfterID: c.ID, MaxRows: eventRows})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.At.Before(c.From) {
			continue
		}
		for i, id := range r.JobIDs {
			e := job.StatusEvent{JobID: id, Status: job.Completed, At: r.At.UTC()}
			if i < len(r.Statuses) {
				e.Status, e.AttemptCount = job.Status(r.Statuses[i]), r.AttemptCounts[i]
			}
			p.Events = append(p.Events, e)
		}
	}
	if p.More = len(rows) == eventRows; p.More {
		c.Tx, c.ID = rows[len(rows)-1].Tx, rows[len(rows)-1].ID
	} else {
		c.Since, c.At = c.Upto, c.UptoAt
		c.Upto, c.UptoAt, c.From, c.Tx, c.ID = "", time.Time{}, time.Time{}, 0, 0
	}
	if p.Events, err = withFacts(ctx, q, p.Events, detail); err != nil || !detail {
		return err
	}
	return withAttempts(ctx, q, p.Events)
}

// withFacts adds what the jobs' rows say, and leaves out jobs that are deleted.
func withFacts(ctx context.Context, q *query.Queries, events []job.StatusEvent, detail bool) ([]job.StatusEvent, error) {
	if len(events) == 0 {
		return nil, nil
	}
	ids := make([]int64, len(events))
	for i, e := range events {
		ids[i] = e.JobID
	}
	rows, err := q.ListEventJobs(ctx, ids)
	if err != nil {
		return nil, err
	}
	jobs := make(map[int64]query.ListEventJobsRow, len(rows))
	for _, r := range rows {
		jobs[r.ID] = r
	}
	kept := events[:0]
	for _, e := range events {
		r, there := jobs[e.JobID]
		if !there {
			continue
		}
		e.QueueName, e.Kind = r.QueueName, r.Kind
		if e.AttemptCount == 0 {
			e.AttemptCount = r.AttemptCount
		}
		if detail {
			e.CreatedAt = &r.CreatedAt
			if e.AttemptCount == r.AttemptCount { // the row still speaks of this attempt
				e.WorkerID, e.DispatchedAt, e.StartedAt, e.FinishedAt = text(r.WorkerID), r.DispatchedAt, r.StartedAt, r.FinishedAt
			}
		}
		kept = append(kept, e)
	}
	return kept, nil
}

// withAttempts adds what became of attempts that did not simply succeed.
func withAttempts(ctx context.Context, q *query.Queries, events []job.StatusEvent) error {
	var a query.ListEventAttemptsParams
	for _, e := range events {
		if ended(e) {
			a.JobIDs, a.AttemptCounts = append(a.JobIDs, e.JobID), append(a.AttemptCounts, e.AttemptCount)
		}
	}
	if len(a.JobIDs) == 0 {
		return nil
	}
	rows, err := q.ListEventAttempts(ctx, a)
	if err != nil {
		return err
	}
	type attempt struct {
		id    int64
		count int32
	}
	known := make(map[attempt]query.ListEventAttemptsRow, len(rows))
	for _, r := range rows {
		known[attempt{r.JobID, r.AttemptCount}] = r
	}
	for i := range events {
		e := &events[i]
		if r, ok := known[attempt{e.JobID, e.AttemptCount}]; ok && ended(*e) {
			e.Outcome, e.Error, e.WorkerID, e.StartedAt, e.FinishedAt = r.Outcome, r.Error, text(r.WorkerID), r.StartedAt, &r.FinishedAt
		}
	}
	return nil
}

// ended reports whether an event is of an attempt that did not simply succeed, which
// alone has a row in attempts. One that runs may have it later.
func ended(e job.StatusEvent) bool { return e.Status != job.Completed && e.Status != job.Running }

// pruneEvents deletes a slice of what nobody may ask for any more.
func pruneEvents(ctx context.Context, q *query.Queries) error {
	rows, err := q.MarkEvents(ctx, query.MarkEventsParams{LongMs: job.EventsKeptLong.Milliseconds(), ShortMs: job.EventsKept.Milliseconds()})
	if err != nil || len(rows) == 0 || !rows[0].Due {
		return err
	}
	for {
		n, err := q.PruneEvents(ctx, query.PruneEventsParams{Mark: rows[0].Mark, MaxRows: prunedSlice})
		if err != nil {
			return err
		}
		if n < prunedSlice {
			return q.MoveEventMark(ctx, rows[0].Mark)
		}
	}
}
