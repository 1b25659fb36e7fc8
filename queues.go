package rookery

import (
	"context"
	"time"

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

// redisLimit bounds what figures wait for Redis: they can do without.
const redisLimit = 700 * time.Millisecond

// Queues describes every queue, with what Redis has of it when Redis answers.
func (j *Jobs) Queues(ctx context.Context) ([]job.QueueStats, error) {
	stats, err := j.store.QueueStats(ctx, job.StatsCap)
	if err != nil {
		return nil, err
	}
	return stats, j.complete(ctx, stats)
}

// countedQueues is Queues with counts that stop at most jobs, and without rates.
func (j *Jobs) countedQueues(ctx context.Context, most int) ([]job.QueueStats, error) {
	stats, err := j.store.QueueStats(ctx, most)
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
	err = j.complete(ctx, stats)
	return stats[0], err
}

// complete adds how fast the queues go and what Redis has of them.
func (j *Jobs) complete(ctx context.Context, stats []job.QueueStats) error {
	rates, err := j.store.Rates(ctx)
	if err != nil {
		return err
	}
	for i := range stats {
		stats[i].Rate = rates[stats[i].Name]
	}
	j.addWindows(ctx, stats)
	return nil
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
	ctx, cancel := context.WithTimeout(ctx, redisLimit)
	defer cancel()
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

// Processes lists relays and workers, with what workers say of themselves in Redis when
// that answers, and clients, which are workers over HTTP; an empty role means all.
func (j *Jobs) Processes(ctx context.Context, role string) ([]job.ProcessState, error) {
	if role == job.RoleClient {
		return j.store.Clients(ctx)
	}
	found, err := j.processes(ctx, role)
	if err != nil || role != "" {
		return found, err
	}
	clients, err := j.store.Clients(ctx)
	return append(found, clients...), err
}

func (j *Jobs) processes(ctx context.Context, role string) ([]job.ProcessState, error) {
	found, err := j.store.Processes(ctx, role)
	if err != nil || len(found) == 0 {
		return found, err
	}
	ctx, cancel := context.WithTimeout(ctx, redisLimit)
	defer cancel()
	workers, err := j.redis.Workers(ctx)
	if err != nil {
		return found, nil //nolint:nilerr // Redis is away: what Postgres knows stands
	}
	said := make(map[string]job.Process, len(workers))
	for _, w := range workers {
		said[w.ID] = w
	}
	for i, p := range found {
		w := said[p.ID]
		found[i].Queues, found[i].Slots, found[i].Running, found[i].Leaked = w.Queues, w.Slots, w.Running, w.Leaked
	}
	return found, nil
}

// SetQuiet has a worker take no more jobs, or take them again, from its next beat on. The
// error is [job.ErrNotFound] when no worker has this id.
func (j *Jobs) SetQuiet(ctx context.Context, worker string, quiet bool) error {
	return j.store.SetQuiet(ctx, AtTheCommandLine(), worker, quiet)
}
