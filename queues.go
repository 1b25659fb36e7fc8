package rookery

import (
	"context"

	"github.com/penguinmails/rookery/job"
)

// Pause stops a queue's claims and takes, or lets them go on.
func (j *Jobs) Pause(ctx context.Context, queue string, paused bool) error {
	return j.store.SetPaused(ctx, queue, paused)
}

// SetWindow says how many undelivered jobs of a queue may sit in Redis.
func (j *Jobs) SetWindow(ctx context.Context, queue string, size int) error {
	return j.store.SetWindow(ctx, queue, size)
}

// Queues describes every queue, with what Redis has of it when Redis answers.
func (j *Jobs) Queues(ctx context.Context) ([]job.QueueStats, error) {
	stats, err := j.store.QueueStats(ctx)
	if err == nil {
		j.addWindows(ctx, stats)
	}
	return stats, err
}

// Queue describes one queue as [Jobs.Queues] does, or returns [job.ErrNotFound].
func (j *Jobs) Queue(ctx context.Context, name string) (job.QueueStats, error) {
	st, err := j.store.QueueStatsOf(ctx, name)
	if err != nil {
		return st, err
	}
	stats := []job.QueueStats{st}
	j.addWindows(ctx, stats)
	return stats[0], nil
}

// addWindows adds what Redis has of the queues. While Redis is away the figures of
// Postgres stand, and the windows stay nil.
func (j *Jobs) addWindows(ctx context.Context, stats []job.QueueStats) {
	if len(stats) == 0 {
		return
	}
	names := make([]string, len(stats))
	for i, s := range stats {
		names[i] = s.Name
	}
	windows, err := j.redis.Depths(ctx, names)
	if err != nil {
		return
	}
	for i := range stats {
		if w, ok := windows[stats[i].Name]; ok {
			stats[i].Window = &w
		}
	}
}

// Processes lists relays and workers; an empty role means both.
func (j *Jobs) Processes(ctx context.Context, role string) ([]job.ProcessState, error) {
	return j.store.Processes(ctx, role)
}
