package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

// again puts as many jobs as before into Redis, and begins to listen: it opens the
// gate of events and takes a cursor, as the API does for the first who comes.
func (d *drain) again(ctx context.Context) error {
	if err := d.produce(ctx, "-jobs", strconv.Itoa(drained), "-first", strconv.Itoa(drained), "-per-tx", strconv.Itoa(batch)); err != nil {
		return err
	}
	if err := errors.Join(d.vacuum(ctx), d.relay(ctx)); err != nil {
		return err
	}
	return d.reading(ctx, func(jobs *rookery.Jobs) error {
		if err := jobs.OpenEvents(ctx, false); err != nil {
			return err
		}
		page, err := jobs.Events(ctx, job.EventCursor{}, false)
		d.begin = page.Next
		return err
	})
}

// listen reads all that was noted, in full pages, once: what a server does for all who
// listen to it.
func (d *drain) listen(ctx context.Context) error {
	return d.reading(ctx, func(jobs *rookery.Jobs) error {
		told := 0
		for at, more := d.begin, true; more; {
			page, err := jobs.Events(ctx, at, false)
			if err != nil {
				return err
			}
			for _, e := range page.Events { // one that runs for long is told of too
				if e.Status == job.Completed {
					told++
				}
			}
			at, more = page.Next, page.More
		}
		if told != drained {
			return fmt.Errorf("%d of %d jobs are told to be completed", told, drained)
		}
		return nil
	})
}

// reading does something through Rookery's own door.
func (d *drain) reading(ctx context.Context, do func(*rookery.Jobs) error) (err error) {
	svc, err := rookery.Open(ctx, rookery.Config{DatabaseURL: d.URL("postgres"), RedisURL: "redis://" + d.Redis.Options().Addr, LogLevel: slog.LevelWarn})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, svc.Close()) }()
	jobs, err := svc.Jobs(ctx)
	if err != nil {
		return err
	}
	return do(jobs)
}
