package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/penguinmails/rookery/job"
)

// Endpoints knows where queues are delivered to.
type Endpoints interface {
	// Endpoints lists them, by queue and without secrets.
	Endpoints(ctx context.Context) ([]job.Endpoint, error)
	// EndpointResults says what became of the attempts of the last hour, by queue.
	EndpointResults(ctx context.Context) (map[string]job.EndpointResult, error)
	// InFlight says how many requests are under way, by queue; the error: Redis is away.
	InFlight(ctx context.Context, queues []string) (map[string]int, error)
}

// EndpointActions change an endpoint. They may be called again.
type EndpointActions interface {
	// SwitchEndpoint has it delivered to, or not; false: it was so already. Or
	// [job.ErrNotFound].
	SwitchEndpoint(ctx context.Context, queue string, on bool) (bool, error)
}

type webhooksBody struct {
	Lines     []endpointLine
	RedisAway bool
}

// endpointLine is an endpoint as the pages show it. Of its URL they show the host:
// tokens may stand in the rest.
type endpointLine struct {
	job.Endpoint
	Host     string
	Known    bool // the queue is there: a job was inserted into it
	Paused   bool // the queue is
	InFlight int
	Attempts int64 // of the last hour
	Share    int   // of those: completed, 0 to 100
}

func endpointLineOf(e job.Endpoint) endpointLine {
	l := endpointLine{Endpoint: e, Host: "?"}
	if u, err := url.Parse(e.URL); err == nil {
		l.Host = u.Host
	}
	l.URL = "" // templates cannot show what they do not have
	return l
}

// webhooks shows where queues are delivered to, and how that goes.
func (d *Dashboard) webhooks(ctx context.Context, _ *http.Request, v Visitor) (content, error) {
	all, err := d.ports.Endpoints.Endpoints(ctx)
	if err != nil {
		return content{}, fmt.Errorf("list endpoints: %w", err)
	}
	all = slices.DeleteFunc(all, func(e job.Endpoint) bool { return !v.sees(e.QueueName) })
	results, err := d.ports.Endpoints.EndpointResults(ctx)
	if err != nil {
		return content{}, err
	}
	g, err := d.look(ctx, v)
	if err != nil {
		return content{}, err
	}
	queues := make([]string, len(all))
	for i, e := range all {
		queues[i] = e.QueueName
	}
	flying, err := d.ports.Endpoints.InFlight(ctx, queues)
	body := webhooksBody{RedisAway: err != nil}
	for _, e := range all {
		l := endpointLineOf(e)
		q, known := g.queue(e.QueueName)
		l.Known, l.Paused, l.InFlight = known, q.Paused, flying[e.QueueName]
		r := results[e.QueueName]
		if l.Attempts = r.Completed + r.Failed; l.Attempts > 0 {
			l.Share = int(r.Completed * 100 / l.Attempts)
		}
		body.Lines = append(body.Lines, l)
	}
	return content{template: "webhooks", title: "Webhooks", nav: "webhooks", live: true, body: body}, nil
}

// endpointOf returns the endpoint of a queue; nil: it has none.
func (d *Dashboard) endpointOf(ctx context.Context, queue string) (*endpointLine, error) {
	all, err := d.ports.Endpoints.Endpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	for _, e := range all {
		if e.QueueName == queue {
			l := endpointLineOf(e)
			return &l, nil
		}
	}
	return nil, nil
}

func (d *Dashboard) enableEndpoint(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	return d.switchEndpoint(ctx, r, v, "enable", true)
}

func (d *Dashboard) disableEndpoint(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	return d.switchEndpoint(ctx, r, v, "disable", false)
}

var errNoEndpoint = &pageError{http.StatusNotFound, "This queue is not delivered to a URL."}

func (d *Dashboard) switchEndpoint(ctx context.Context, r *http.Request, v Visitor, action string, on bool) (done, error) {
	name := r.PathValue("name")
	if !v.sees(name) {
		return done{}, errNoEndpoint
	}
	changed, err := d.hands(v).Endpoints.SwitchEndpoint(ctx, name, on)
	switch {
	case errors.Is(err, job.ErrNotFound):
		return done{}, errNoEndpoint
	case err != nil:
		return done{}, fmt.Errorf("%s endpoint: %w", action, err)
	case !changed:
		return done{flash: flash{code: "as it is"}, to: "/ui/webhooks"}, nil
	}
	d.log.InfoContext(ctx, "dashboard action", logVisitor, v.Name, logAction, "endpoint "+action, logQueueName, name)
	return done{flash: flash{code: action}, to: "/ui/webhooks"}, nil
}
