package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

// queues shows all queues.
func (d *Dashboard) queues(ctx context.Context, _ *http.Request, v Visitor) (content, error) {
	g, err := d.look(ctx, v)
	if err != nil {
		return content{}, err
	}
	return content{template: "queues", title: "Queues", nav: "queues", live: true, body: linesOf(g, time.Now())}, nil
}

type queueBody struct {
	queueLine
	Next      []job.Job          // to be claimed
	Serving   []job.ProcessState // workers
	MaxWindow int
	RedisAway bool
	Endpoint  *endpointLine // nil: it has none
}

// queue shows one queue.
func (d *Dashboard) queue(ctx context.Context, r *http.Request, v Visitor) (content, error) {
	name := r.PathValue("name")
	g, err := d.look(ctx, v)
	if err != nil {
		return content{}, err
	}
	body := queueBody{MaxWindow: job.MaxWindow, RedisAway: g.redisAway()}
	found := false
	for _, l := range linesOf(g, time.Now()) {
		if l.Name == name {
			body.queueLine, found = l, true
		}
	}
	if !found {
		return content{}, &pageError{http.StatusNotFound, "There is no such queue. A queue is there once a job was inserted into it."}
	}
	if body.Endpoint, err = d.endpointOf(ctx, name); err != nil {
		return content{}, err
	}
	next, err := d.ports.Jobs.List(ctx, job.Listing{Status: job.FilterReady, QueueName: name, Limit: 10})
	if err != nil {
		return content{}, fmt.Errorf("list jobs of queue: %w", err)
	}
	body.Next = next.Jobs
	for _, p := range g.Processes {
		for _, served := range p.Queues {
			if served == name {
				body.Serving = append(body.Serving, p)
			}
		}
	}
	return content{template: "queue", title: "Queue " + name, nav: "queues", live: true, body: body}, nil
}

func (d *Dashboard) pause(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	return d.setPaused(ctx, r, v, "pause", true)
}

func (d *Dashboard) resume(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	return d.setPaused(ctx, r, v, "resume", false)
}

func (d *Dashboard) setPaused(ctx context.Context, r *http.Request, v Visitor, action string, paused bool) (done, error) {
	name, err := d.known(ctx, r, v)
	if err != nil {
		return done{}, err
	}
	if err := d.hands(v).Queues.Pause(ctx, name, paused); err != nil {
		return done{}, fmt.Errorf("%s queue: %w", action, err)
	}
	d.log.InfoContext(ctx, "dashboard action", logVisitor, v.Name, logAction, action, logQueueName, name)
	return done{flash: flash{code: action}, to: "/ui/queues/" + name}, nil
}

func (d *Dashboard) setWindow(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	name, err := d.known(ctx, r, v)
	if err != nil {
		return done{}, err
	}
	size, err := strconv.Atoi(r.PostForm.Get("window_size"))
	if err != nil || size < 1 || size > job.MaxWindow {
		return done{}, &pageError{http.StatusUnprocessableEntity, fmt.Sprintf("The window must be a whole number from 1 to %s.", number(job.MaxWindow))}
	}
	if err := d.hands(v).Queues.SetWindow(ctx, name, size); err != nil {
		return done{}, fmt.Errorf("set window: %w", err)
	}
	d.log.InfoContext(ctx, "dashboard action", logVisitor, v.Name, logAction, "window", logQueueName, name, logWindow, size)
	return done{flash: flash{code: "window"}, to: "/ui/queues/" + name}, nil
}

// known returns the queue of the path. One that is not there is not made by pausing it
// under a misspelt name.
func (d *Dashboard) known(ctx context.Context, r *http.Request, v Visitor) (string, error) {
	name := r.PathValue("name")
	g, err := d.look(ctx, v)
	if err != nil {
		return "", err
	}
	if _, ok := g.queue(name); !ok {
		return "", &pageError{http.StatusNotFound, "There is no such queue."}
	}
	return name, nil
}
