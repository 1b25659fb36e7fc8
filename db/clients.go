package db

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// aboutClient is the column about of outbox.clients.
type aboutClient struct {
	Queues  []string  `json:"queues"`
	Running []job.Ref `json:"running"`
}

// BeatClients says which workers over HTTP came to a server lately, and returns the ids of
// those that are to be quiet.
func (s *Store) BeatClients(ctx context.Context, server string, clients []job.Client) (quiet []string, err error) {
	p := query.BeatClientsParams{ServerID: server}
	for _, c := range clients {
		about, err := json.Marshal(aboutClient{c.Queues, c.Running})
		if err != nil {
			return nil, err
		}
		p.Ids, p.Addresses = append(p.Ids, c.WorkerID), append(p.Addresses, c.Address)
		p.Abouts, p.SilentMs = append(p.Abouts, string(about)), append(p.SilentMs, c.Silent.Milliseconds())
	}
	err = s.do(ctx, "beat clients", func(q *query.Queries) error {
		rows, err := q.BeatClients(ctx, p)
		for _, r := range rows {
			if r.Quiet {
				quiet = append(quiet, r.ID)
			}
		}
		return err
	})
	return quiet, err
}

// ForgetClients forgets workers over HTTP that have been silent for an hour.
func (s *Store) ForgetClients(ctx context.Context) error {
	return s.do(ctx, "forget clients", func(q *query.Queries) error { return q.ForgetClients(ctx) })
}

// Clients lists workers over HTTP, each once, whichever servers it asks.
func (s *Store) Clients(ctx context.Context) ([]job.ProcessState, error) {
	out := []job.ProcessState{}
	err := s.seeing(ctx, "list clients", func(q *query.Queries) error {
		rows, err := q.ListClients(ctx, job.MaxProcesses)
		out = out[:0]
		for _, r := range rows {
			p := job.ProcessState{
				ID: r.ID, Role: job.RoleClient, Host: r.Address, StartedAt: r.StartedAt, BeatAt: r.BeatAt,
				BeatAge: milliseconds(r.BeatAgeMs), RedisAge: -1, Epochs: map[string]int64{}, Quiet: r.Quiet,
			}
			var about aboutClient
			_ = json.Unmarshal(r.About, &about) // what no server wrote is left out
			p.Queues, p.Running = about.Queues, about.Running
			if n := len(out); n > 0 && out[n-1].ID == p.ID {
				out[n-1] = merged(out[n-1], p)
			} else {
				out = append(out, p)
			}
		}
		return err
	})
	return out, err
}

// merged is one client as two servers know it. Both may hold an attempt of it.
func merged(a, b job.ProcessState) job.ProcessState {
	if b.BeatAge < a.BeatAge {
		a.BeatAge, a.BeatAt, a.Host = b.BeatAge, b.BeatAt, b.Host
	}
	if b.StartedAt.Before(a.StartedAt) {
		a.StartedAt = b.StartedAt
	}
	a.Quiet = a.Quiet || b.Quiet
	a.Queues = slices.Compact(slices.Sorted(slices.Values(slices.Concat(a.Queues, b.Queues))))
	for _, ref := range b.Running {
		if len(a.Running) < job.MaxRunningShown && !slices.Contains(a.Running, ref) {
			a.Running = append(a.Running, ref)
		}
	}
	return a
}
