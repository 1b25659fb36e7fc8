package rookery

import (
	"context"
	"os"
	"os/user"
	"strconv"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

// Acting changes jobs and queues for somebody, and leaves a line in outbox.audit for
// each change, in its transaction. It takes what rookery_api may.
type Acting struct{ store db.Acting }

// As returns the door in somebody's hands.
func (j *Jobs) As(by job.Actor) Acting { return Acting{j.store.As(by)} }

// Cancel is [Jobs.Cancel].
func (a Acting) Cancel(ctx context.Context, id int64) (bool, error) { return a.store.Cancel(ctx, id) }

// Redrive is [Jobs.Redrive].
func (a Acting) Redrive(ctx context.Context, id int64) (bool, error) { return a.store.Redrive(ctx, id) }

// Delete is [Jobs.Delete].
func (a Acting) Delete(ctx context.Context, id int64) (bool, error) { return a.store.Delete(ctx, id) }

// Clone is [Jobs.Clone].
func (a Acting) Clone(ctx context.Context, id int64) (int64, error) {
	clone, err := a.store.Clone(ctx, id)
	if db.NotInserted(err) {
		err = notInserted(err)
	}
	return clone, err
}

// Pause is [Jobs.Pause].
func (a Acting) Pause(ctx context.Context, queue string, paused bool) error {
	return a.store.SetPaused(ctx, queue, paused)
}

// SetWindow is [Jobs.SetWindow].
func (a Acting) SetWindow(ctx context.Context, queue string, size int) error {
	return a.store.SetWindow(ctx, queue, size)
}

// SetQueue changes a queue's window and how long its jobs that are over are kept, all of
// that or nothing.
func (a Acting) SetQueue(ctx context.Context, queue string, c job.QueueChange) error {
	return a.store.SetQueue(ctx, queue, c)
}

// AtTheCommandLine is who runs this program, as the operating system knows them:
// cli:<user>@<host>. Postgres adds to each line who is logged in there.
func AtTheCommandLine() job.Actor {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		name += "@" + host
	}
	const most = 190 // characters; a line has room for 200
	if r := []rune(name); len(r) > most {
		name = string(r[:most])
	}
	return job.Actor{Principal: "cli:" + name}
}
