package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/penguinmails/rookery/job"
)

const (
	drainPause  = time.Second // between two looks into the spool
	retirePause = time.Hour   // between two looks for old keys
)

// drainer inserts what was spooled, the oldest first. Any number of them may run, in
// as many processes:
//
//	Peek a page ──▶ insert it under its keys; COMMIT ──▶ Remove it by id
//
// A crash between the commit and Remove leaves the page in the spool; whoever
// inserts it again finds the keys and inserts nothing. Two drainers with the same
// page do the same: the second waits at the first key for the first one's commit.
type drainer struct {
	spool     Spool
	keyed     Keyed
	detour    *detour
	m         *metrics
	log       *slog.Logger
	failpoint func(string)

	failing   bool
	retiredAt time.Time // by the monotonic clock
}

// prepare looks into the spool once before the first request: the spool keeps nothing
// until it has read the seal keys from Postgres, and a Postgres that answers now may be
// gone a moment later. What goes wrong, run meets again and says.
func (d *drainer) prepare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, spoolTimeout)
	defer cancel()
	_, _ = d.spool.Peek(ctx, "")
}

// run drains until ctx ends.
func (d *drainer) run(ctx context.Context) {
	pause := time.NewTicker(drainPause)
	defer pause.Stop()
	for ctx.Err() == nil {
		d.note(ctx, d.turn(ctx))
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

// turn drains what is there, and once an hour forgets old keys.
func (d *drainer) turn(ctx context.Context) error {
	after := "" // entries that stay behind are not met again in this turn
	for {
		page, err := d.peek(ctx, after)
		if err != nil {
			return err
		}
		if len(page.Entries) == 0 {
			break
		}
		after = page.Entries[len(page.Entries)-1].ID
		if err := d.page(ctx, page.Entries); err != nil {
			return err
		}
	}
	if !d.retiredAt.IsZero() && time.Since(d.retiredAt) < retirePause {
		return nil
	}
	if err := retire(ctx, d.keyed); err != nil {
		return err
	}
	d.retiredAt = time.Now()
	return nil
}

func (d *drainer) peek(ctx context.Context, after string) (job.SpoolPage, error) {
	ctx, cancel := context.WithTimeout(ctx, spoolTimeout)
	defer cancel()
	page, err := d.spool.Peek(ctx, after)
	if err == nil || page.Stats.Entries > 0 {
		d.m.spoolWaiting.Set(float64(page.Stats.Entries))
		d.m.spoolBytes.Set(float64(page.Stats.Bytes))
		d.m.spoolOldest.Set(page.Stats.Oldest.Seconds())
	}
	return page, err
}

// page inserts some entries: all at once, and when that fails one by one, so that an
// odd one does not hold up the others. The error ends the turn: Postgres or Redis is
// away.
func (d *drainer) page(ctx context.Context, entries []job.SpoolEntry) error {
	var good []job.SpoolEntry
	for _, e := range entries {
		if e.Bad == "" {
			good = append(good, e)
		} else if err := d.setAside(ctx, e, e.Bad); err != nil {
			return err
		}
	}
	if len(good) == 0 {
		return nil
	}
	err := d.insert(ctx, good...)
	if err == nil || len(good) > 1 && hopeless(ctx, err) {
		return err
	}
	for _, e := range good {
		if len(good) > 1 {
			err = d.insert(ctx, e)
		}
		reason, odd := oddity(err)
		switch {
		case err == nil:
		case odd:
			if err := d.setAside(ctx, e, reason); err != nil {
				return err
			}
		case hopeless(ctx, err):
			return err
		default:
			// Another transaction is in the way, or a fault of ours: it stays, and
			// those behind it go on.
			d.log.WarnContext(ctx, "spooled jobs not inserted for now", logSpoolID, e.Key, logError, err)
		}
	}
	return nil
}

// insert inserts entries, all or none, and takes them out of the spool.
func (d *drainer) insert(ctx context.Context, entries ...job.SpoolEntry) error {
	requests, ids := make([]job.Spooled, len(entries)), make([]string, len(entries))
	for i, e := range entries {
		requests[i], ids[i] = e.Spooled, e.ID
	}
	inserted, err := d.keyed.InsertSpooled(ctx, requests)
	if err != nil {
		return err
	}
	d.detour.note(time.Now(), false, false)
	for _, jobs := range inserted {
		d.m.drained.Add(float64(len(jobs)))
	}
	d.failpoint("api.after_drain")
	// A crash here leaves the entries in the spool: they are inserted again, which
	// their keys make nothing of.
	return d.remove(ctx, "", ids...)
}

func (d *drainer) remove(ctx context.Context, reason string, ids ...string) error {
	ctx, cancel := context.WithTimeout(ctx, spoolTimeout)
	defer cancel()
	if err := d.spool.Remove(ctx, reason, ids...); err != nil {
		// Postgres has answered; that Redis does not ends the turn all the same.
		return fmt.Errorf("%w: %w", job.ErrUnavailable, err)
	}
	return nil
}

// setAside moves an entry out of the others' way. Its jobs are not logged.
func (d *drainer) setAside(ctx context.Context, e job.SpoolEntry, reason string) error {
	if err := d.remove(ctx, reason, e.ID); err != nil {
		return err
	}
	d.m.spoolSetAside.Inc()
	d.log.ErrorContext(ctx, "spooled jobs cannot be inserted and were set aside", logSpoolID, job.ErrorText(e.Key), logReason, reason)
	return nil
}

// oddity returns why an entry can never be inserted, without its values, and whether
// that is so.
func oddity(err error) (reason string, odd bool) {
	var field *job.FieldError
	var data *job.DataError
	switch {
	case errors.As(err, &field):
		return field.Error(), true
	case errors.As(err, &data):
		return "Postgres refused a value (SQLSTATE " + data.SQLState + ")", true
	case errors.Is(err, job.ErrKeyReused):
		return "its Idempotency-Key belongs to another request", true
	}
	return "", false
}

// hopeless reports whether the next entry would fare no better.
func hopeless(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, job.ErrUnavailable) || errors.Is(err, job.ErrNoSchema)
}

// note logs when draining begins to fail, and when it goes on.
func (d *drainer) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !d.failing:
		d.failing = true
		d.log.WarnContext(ctx, "spool cannot be drained for now", logError, err)
	case err == nil && d.failing:
		d.failing = false
		d.log.InfoContext(ctx, "spool is drained again")
	}
}
