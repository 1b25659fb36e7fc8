package db

import (
	"context"
	"strings"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// end is behind every place in the order of time.
func end() time.Time { return job.LastRunAt().AddDate(1, 0, 0) }

// Browse returns a page of jobs, without payloads. Whatever it is asked, it reads a
// bounded part of an index. An unknown list, and a limit that is not 1 to 200, are
// a [*job.FieldError].
func (s *Store) Browse(ctx context.Context, b job.Browse) (job.BrowsePage, error) {
	if b.Limit < 1 || b.Limit > 200 {
		return job.BrowsePage{}, &job.FieldError{Field: "limit", Problem: "must be 1 to 200"}
	}
	var page job.BrowsePage
	err := s.seeing(ctx, "browse jobs", func(q *query.Queries) error {
		rows, err := browsed(ctx, q, b)
		if err != nil {
			return err
		}
		page = pageOf(b, rows)
		if len(rows) <= b.Limit && newest(b.List) {
			edge, err := q.BrowseEdge(ctx, query.BrowseEdgeParams{BeforeID: beforeID(b.After), Cap: job.BrowseMost})
			if err != nil {
				return err
			}
			if edge.Seen == job.BrowseMost {
				page.Next, page.Capped = job.BrowsePlace{ID: edge.ID}, true
			}
		}
		return nil
	})
	return page, err
}

// newest reports whether a list is found among all jobs, and not in a table of its own.
func newest(list string) bool {
	return list == "" || list == job.ListCompleted || list == job.ListCancelled
}

func beforeID(p job.BrowsePlace) int64 {
	if p.ID <= 0 {
		return 1<<63 - 1
	}
	return p.ID
}

// kindOf splits a kind to look for into a beginning and, without a * at its end, the
// whole.
func kindOf(kind string) (prefix, whole string) {
	if prefix, ok := strings.CutSuffix(kind, "*"); ok {
		return prefix, ""
	}
	return kind, kind
}

// browse reads one row more than the page has, to know whether there is another.
func browsed(ctx context.Context, q *query.Queries, b job.Browse) ([]query.BrowseNewestRow, error) {
	prefix, kind := kindOf(b.Kind)
	limit := int32(b.Limit + 1)
	switch b.List {
	case "", job.ListCompleted, job.ListCancelled:
		return q.BrowseNewest(ctx, query.BrowseNewestParams{
			BeforeID: beforeID(b.After), Cap: job.BrowseMost, QueueName: b.Queue, KindPrefix: prefix, Kind: kind, Status: b.List, Since: b.Since, MaxJobs: limit,
		})
	case job.ListReady:
		after := b.After
		if after.ID == 0 { // a queue's jobs begin at its name
			after = job.BrowsePlace{Queue: b.Queue, Rank: -1 << 15}
		}
		rows, err := q.BrowseReady(ctx, query.BrowseReadyParams{
			AfterQueue: after.Queue, AfterRank: after.Rank, AfterID: after.ID, Cap: job.JoinCap,
			QueueName: b.Queue, KindPrefix: prefix, Kind: kind, Since: b.Since, MaxJobs: limit,
		})
		return converted(rows, func(r query.BrowseReadyRow) query.BrowseNewestRow { return query.BrowseNewestRow(r) }), err
	case job.ListScheduled, job.ListRetrying:
		rows, err := q.BrowseScheduled(ctx, query.BrowseScheduledParams{
			AfterAt: b.After.At, AfterID: b.After.ID, Cap: job.JoinCap, QueueName: b.Queue, KindPrefix: prefix, Kind: kind, Since: b.Since,
			Retrying: b.List == job.ListRetrying, Fresh: b.List == job.ListScheduled, MaxJobs: limit,
		})
		return converted(rows, func(r query.BrowseScheduledRow) query.BrowseNewestRow { return query.BrowseNewestRow(r) }), err
	case job.ListOut, job.ListRunning:
		status := ""
		if b.List == job.ListRunning {
			status = string(job.Running)
		}
		rows, err := q.BrowseOut(ctx, query.BrowseOutParams{
			QueueName: b.Queue, Cap: job.JoinCap, AfterID: b.After.ID, KindPrefix: prefix, Kind: kind, Status: status, Since: b.Since, MaxJobs: limit,
		})
		return converted(rows, func(r query.BrowseOutRow) query.BrowseNewestRow { return query.BrowseNewestRow(r) }), err
	case job.ListDead:
		at := b.After.At
		if b.After.ID == 0 {
			at = end()
		}
		rows, err := q.BrowseDead(ctx, query.BrowseDeadParams{
			BeforeAt: at, BeforeID: beforeID(b.After), Cap: job.JoinCap, QueueName: b.Queue, KindPrefix: prefix, Kind: kind, Since: b.Since, MaxJobs: limit,
		})
		return converted(rows, func(r query.BrowseDeadRow) query.BrowseNewestRow { return query.BrowseNewestRow(r) }), err
	}
	return nil, &job.FieldError{Field: "status", Problem: "is " + b.List + ", which is no list of jobs"}
}

func converted[R any](rows []R, to func(R) query.BrowseNewestRow) []query.BrowseNewestRow {
	out := make([]query.BrowseNewestRow, len(rows))
	for i, r := range rows {
		out[i] = to(r)
	}
	return out
}

func pageOf(b job.Browse, rows []query.BrowseNewestRow) job.BrowsePage {
	var page job.BrowsePage
	more := len(rows) > b.Limit
	rows = rows[:min(len(rows), b.Limit)]
	for _, r := range rows {
		page.Jobs = append(page.Jobs, job.Job{
			ID: r.ID, QueueName: r.QueueName, Kind: r.Kind, Priority: r.Priority, Status: job.Status(r.Status),
			AttemptCount: r.AttemptCount, FailureCount: r.FailureCount, LostCount: r.LostCount, MaxAttempts: r.MaxAttempts,
			RunAt: r.RunAt, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt, WorkerID: text(r.WorkerID), LastError: r.LastError,
		})
	}
	if more {
		last := rows[len(rows)-1]
		page.Next = job.BrowsePlace{ID: last.ID, Queue: last.QueueName, Rank: int16(last.PlaceRank), At: last.PlaceAt}
	}
	return page
}

// Glances is [Store.QueueStats] in a few statements, for a page that is asked for
// often: counting stops at [job.GlanceCap].
func (s *Store) Glances(ctx context.Context) ([]job.QueueStats, error) {
	var out []job.QueueStats
	err := s.seeing(ctx, "glance at queues", func(q *query.Queries) error {
		queues, err := q.ListQueues(ctx)
		if err != nil {
			return err
		}
		ready, err := q.CountReadyByQueue(ctx, job.GlanceCap)
		if err != nil {
			return err
		}
		due := map[string]query.CountReadyByQueueRow{}
		for _, row := range ready {
			due[row.Name] = row
		}
		scheduled, err := q.CountScheduled(ctx, job.GlanceCap)
		if err != nil {
			return err
		}
		later := map[string]int64{}
		for _, row := range scheduled {
			later[row.QueueName] = row.Jobs
		}
		away, err := q.CountOut(ctx)
		if err != nil {
			return err
		}
		gone := map[string]int64{}
		for _, row := range away {
			gone[row.QueueName] = row.Jobs
		}
		for _, row := range queues {
			st := job.QueueStats{
				Queue: job.Queue{Name: row.Name, Paused: row.Paused, WindowSize: int(row.WindowSize), Epoch: row.Epoch, Life: row.Life, EpochAge: milliseconds(row.EpochAgeMs)},
				Ready: due[row.Name].Jobs, Scheduled: later[row.Name], Out: gone[row.Name],
			}
			if at := due[row.Name].OldestAt; at.Unix() > 0 {
				st.OldestAt = &at
			}
			out = append(out, st)
		}
		return nil
	})
	return out, err
}

// Beats lists relays and workers with the age of their last word.
func (s *Store) Beats(ctx context.Context) ([]job.Seen, error) {
	var out []job.Seen
	err := s.seeing(ctx, "list beats", func(q *query.Queries) error {
		rows, err := q.ListBeats(ctx)
		for _, r := range rows {
			b := job.Seen{
				Process: job.Process{ID: r.ID, Role: r.Role, Host: r.Host, PID: int(r.Pid), StartedAt: r.StartedAt},
				BeatAge: milliseconds(r.BeatAgeMs), RedisAge: -1,
			}
			if r.RedisAgeMs >= 0 {
				b.RedisAge = milliseconds(r.RedisAgeMs)
			}
			out = append(out, b)
		}
		return err
	})
	return out, err
}

// DeadGroups returns the newest [job.GroupCap] dead jobs by how they died, the largest
// groups first.
func (s *Store) DeadGroups(ctx context.Context) ([]job.DeadGroup, error) {
	var groups []job.DeadGroup
	err := s.seeing(ctx, "group dead jobs", func(q *query.Queries) error {
		rows, err := q.GroupDead(ctx, job.GroupCap)
		for _, r := range rows {
			groups = append(groups, job.DeadGroup(r))
		}
		return err
	})
	return groups, err
}

// CountDead counts dead jobs, up to [job.GlanceCap].
func (s *Store) CountDead(ctx context.Context) (dead int64, err error) {
	err = s.seeing(ctx, "count dead jobs", func(q *query.Queries) error {
		dead, err = q.CountDead(ctx, job.GlanceCap)
		return err
	})
	return dead, err
}

// Ahead returns how many due jobs of its queue are claimed before j, counted up to
// [job.GlanceCap].
func (s *Store) Ahead(ctx context.Context, j job.Job) (n int64, err error) {
	err = s.seeing(ctx, "count jobs ahead", func(q *query.Queries) error {
		n, err = q.CountAhead(ctx, query.CountAheadParams{QueueName: j.QueueName, Priority: j.Priority, ID: j.ID, Cap: job.GlanceCap})
		return err
	})
	return n, err
}
