package db

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Endpoints lists where queues are delivered to, by queue and without secrets.
func (s *Store) Endpoints(ctx context.Context) ([]job.Endpoint, error) {
	out := []job.Endpoint{}
	err := s.seeing(ctx, "list endpoints", func(q *query.Queries) error {
		rows, err := q.ListEndpoints(ctx, job.MaxEndpoints)
		for _, r := range rows {
			out = append(out, endpointOf(query.GetEndpointRow(r)))
		}
		return err
	})
	return out, err
}

// SignedEndpoints is [Store.Endpoints] with the secrets that sign at this moment.
func (s *Store) SignedEndpoints(ctx context.Context) ([]job.Endpoint, error) {
	out, err := s.Endpoints(ctx)
	if err != nil || len(out) == 0 {
		return out, err
	}
	secrets, err := s.secrets(ctx, "")
	if err != nil {
		return nil, err
	}
	signed := out[:0]
	for _, e := range out {
		if e.Secrets = secrets[e.QueueName]; e.Secrets != nil { // else deleted between the two
			signed = append(signed, e)
		}
	}
	return signed, nil
}

// Endpoint returns where a queue is delivered to, without secrets, or [job.ErrNotFound].
func (s *Store) Endpoint(ctx context.Context, queue string) (out job.Endpoint, err error) {
	err = s.seeing(ctx, "get endpoint", func(q *query.Queries) error {
		row, err := q.GetEndpoint(ctx, queue)
		out = endpointOf(row)
		return err
	})
	return out, err
}

// SignedEndpoint is [Store.Endpoint] with the secrets that sign at this moment.
func (s *Store) SignedEndpoint(ctx context.Context, queue string) (job.Endpoint, error) {
	e, err := s.Endpoint(ctx, queue)
	if err != nil {
		return e, err
	}
	secrets, err := s.secrets(ctx, queue)
	if e.Secrets = secrets[queue]; err == nil && e.Secrets == nil {
		err = fmt.Errorf("get endpoint: %w", job.ErrNotFound)
	}
	return e, err
}

// secrets are those of one queue, or of all when it is "", the newest first.
func (s *Store) secrets(ctx context.Context, queue string) (map[string][]string, error) {
	out := map[string][]string{}
	err := s.seeing(ctx, "read endpoints' secrets", func(q *query.Queries) error {
		rows, err := q.EndpointSecrets(ctx, query.EndpointSecretsParams{QueueName: queue, MaxEndpoints: job.MaxEndpoints})
		for _, r := range rows {
			out[r.QueueName] = []string{r.Secret}
			if r.OldSecret != "" {
				out[r.QueueName] = append(out[r.QueueName], r.OldSecret)
			}
		}
		return err
	})
	return out, err
}

// SetEndpoint has the jobs of e's queue delivered to e's URL, enables the endpoint if it
// was disabled, resumes the queue if that had paused it, and records who did. A queue
// without an endpoint gets one with secret; created says so. One that had an endpoint
// keeps its secrets. What breaks a limit is a [*job.FieldError].
func (s *Store) SetEndpoint(ctx context.Context, by job.Actor, e job.Endpoint, secret string) (set job.Endpoint, created bool, err error) {
	if err := e.Check(); err != nil {
		return e, false, fmt.Errorf("set endpoint: %w", err)
	}
	if _, err := job.ParseEndpointSecret(secret); err != nil {
		return e, false, fmt.Errorf("set endpoint: %w", err)
	}
	e.DisabledAt, e.DisabledReason, e.Secrets = nil, "", nil
	err = s.changing(ctx, "set endpoint", func(q *query.Queries) (job.Change, bool, error) {
		if err := makeRoom(ctx, q, e.QueueName); err != nil {
			return job.Change{}, false, err
		}
		row, err := q.PutEndpoint(ctx, query.PutEndpointParams{
			QueueName: e.QueueName, Url: e.URL, Secret: secret,
			TimeoutMs: int32(e.TimeoutMS), MaxInFlight: int32(e.MaxInFlight), RatePerSecond: e.RatePerSecond,
		})
		e.CreatedAt, e.UpdatedAt, created = row.CreatedAt, row.UpdatedAt, row.Created
		detail := map[string]any{"host": hostOf(e.URL), "timeout_ms": e.TimeoutMS, "max_in_flight": e.MaxInFlight, "rate_per_second": e.RatePerSecond}
		return by.Did("endpoint.set", e.QueueName, e.QueueName, detail), true, err
	})
	return e, created, err
}

// makeRoom resumes a queue that its endpoint's disabling has paused; for a queue without
// an endpoint it refuses one too many.
func makeRoom(ctx context.Context, q *query.Queries, queue string) error {
	switch paused, err := q.LockEndpoint(ctx, queue); {
	case errors.Is(err, pgx.ErrNoRows):
		n, err := q.CountEndpoints(ctx)
		if err == nil && n >= job.MaxEndpoints {
			return &job.FieldError{Field: "queue_name", Problem: fmt.Sprintf("would be the %dth with an endpoint, at most %d may have one", n+1, job.MaxEndpoints)}
		}
		return err
	case err != nil || !paused:
		return err
	}
	_, err := q.SetPaused(ctx, query.SetPausedParams{Name: queue, Paused: false})
	return err
}

// RotateEndpoint has secret sign from now on, the one before too for keep longer, and
// records who did. [job.ErrNotFound]: the queue has no endpoint.
func (s *Store) RotateEndpoint(ctx context.Context, by job.Actor, queue, secret string, keep time.Duration) error {
	if _, err := job.ParseEndpointSecret(secret); err != nil {
		return fmt.Errorf("rotate secret: %w", err)
	}
	if keep < 0 || keep > job.MaxSecretOverlap {
		return fmt.Errorf("rotate secret: %w", &job.FieldError{Field: "keep_old_seconds", Problem: fmt.Sprintf("is %g, must be 0 to %g", keep.Seconds(), job.MaxSecretOverlap.Seconds())})
	}
	return s.changing(ctx, "rotate secret", func(q *query.Queries) (job.Change, bool, error) {
		n, err := q.RotateEndpoint(ctx, query.RotateEndpointParams{QueueName: queue, Secret: secret, KeepSeconds: keep.Seconds()})
		if err == nil && n == 0 {
			err = pgx.ErrNoRows
		}
		return by.Did("endpoint.rotate", queue, queue, map[string]any{"keep_old_seconds": keep.Seconds()}), true, err
	})
}

// DeleteEndpoint has nobody deliver the queue's jobs any more, resumes the queue if
// the endpoint's disabling had paused it, and records who did; false: there was none.
func (s *Store) DeleteEndpoint(ctx context.Context, by job.Actor, queue string) (done bool, err error) {
	err = s.changing(ctx, "delete endpoint", func(q *query.Queries) (job.Change, bool, error) {
		if err := makeRoom(ctx, q, queue); err != nil {
			return job.Change{}, false, err
		}
		n, err := q.DeleteEndpoint(ctx, queue)
		done = n > 0
		return by.Did("endpoint.delete", queue, queue, nil), done, err
	})
	return done, err
}

// DisableEndpoint stops deliveries to url, pauses the queue, so that its jobs wait, and
// records both; false: somebody else had disabled it, or the endpoint is another now.
func (s *Store) DisableEndpoint(ctx context.Context, queue, url, reason string) (done bool, err error) {
	return s.disableEndpoint(ctx, job.Actor{Principal: "push"}, queue, url, reason)
}

func (s *Store) disableEndpoint(ctx context.Context, by job.Actor, queue, url, reason string) (done bool, err error) {
	reason = job.DisabledReason(reason)
	err = s.changing(ctx, "disable endpoint", func(q *query.Queries) (job.Change, bool, error) {
		n, err := q.DisableEndpoint(ctx, query.DisableEndpointParams{QueueName: queue, AskedUrl: url, DisabledReason: reason})
		if done = n > 0; err != nil || !done {
			return job.Change{}, false, err
		}
		if n, err = q.SetPaused(ctx, query.SetPausedParams{Name: queue, Paused: true}); err == nil && n > 0 {
			err = q.NotePausedByEndpoint(ctx, queue)
		}
		return by.Did("endpoint.disable", queue, queue, map[string]any{"reason": reason}), true, err
	})
	return done, err
}

func endpointOf(r query.GetEndpointRow) job.Endpoint {
	return job.Endpoint{
		QueueName: r.QueueName, URL: r.Url, TimeoutMS: int(r.TimeoutMs), MaxInFlight: int(r.MaxInFlight), RatePerSecond: r.RatePerSecond,
		DisabledAt: r.DisabledAt, DisabledReason: r.DisabledReason, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

// hostOf is as much of a URL as the audit may have: tokens may stand in the rest.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}
