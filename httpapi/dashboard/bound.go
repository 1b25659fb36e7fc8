package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/penguinmails/rookery/job"
)

// reach says to whom a page belongs. A page that nobody has thought about is whole.
type reach bool

const (
	whole    reach = false // it is about all queues: for visitors who see all
	filtered reach = true  // it shows and touches what is of the visitor's queues, and no more
)

// bound reports whether v sees some queues only.
func (v Visitor) bound() bool { return len(v.Queues) > 0 }

// sees reports whether v may know of a queue.
func (v Visitor) sees(queue string) bool { return job.MatchQueue(v.Queues, queue) }

// mayReach returns why v may not have a page, or nil.
func (v Visitor) mayReach(r reach) error {
	if r == filtered || !v.bound() {
		return nil
	}
	return &pageError{http.StatusForbidden, "This is about all queues, and your key is for some of them only."}
}

// bind narrows a list to v's queues.
func (v Visitor) bind(l job.Listing) (job.Listing, error) {
	bound, ok := l.Bind(v.Queues)
	if !ok {
		return l, &pageError{http.StatusForbidden, fmt.Sprintf("Your key is not for the queue %s.", short(l.QueueName))}
	}
	return bound, nil
}

// oneQueue has a search for ready jobs name the queue. Those are listed by queue, and the
// place where a page ends would name one of others.
func (v Visitor) oneQueue(s search) (search, error) {
	bound, _ := (job.Listing{}).Bind(v.Queues)
	if s.Queue = bound.QueueName; s.Queue == "" {
		return s, &pageError{http.StatusBadRequest, "With a key for several queues status:ready takes one of them beside it, as in queue:mail status:ready."}
	}
	return s, nil
}

// queueKey names v's queues to what is kept; "" is all.
func (v Visitor) queueKey() string { return strings.Join(v.Queues, "\n") }

// queuesOf are the queues that a key names.
func queuesOf(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, "\n")
}

// look returns a glance of what v may see.
func (d *Dashboard) look(ctx context.Context, v Visitor) (glance, error) {
	g, err := d.pulse.look(ctx)
	if err != nil || !v.bound() {
		return g, err
	}
	dead, err := d.deadOf.look(ctx, v.queueKey())
	return g.of(v.Queues, dead), err
}

// of is what g has of some queues. Of relays, which are for every queue, it says only
// whether they live, and of the last minutes nothing: those were summed up over all.
func (g glance) of(queues []string, dead int64) glance {
	out := glance{Dead: dead}
	for _, q := range g.Queues {
		if job.MatchQueue(queues, q.Name) {
			out.Queues = append(out.Queues, q)
		}
	}
	for _, p := range g.Processes {
		if p.Role == "relay" {
			out.Processes = append(out.Processes, job.ProcessState{Role: p.Role, BeatAge: p.BeatAge})
		} else if bound, ok := p.Bind(queues); ok {
			out.Processes = append(out.Processes, bound)
		}
	}
	return out
}

// like reports whether a page of g would show what one of other does, but for the times.
func (g glance) like(other glance) bool {
	return reflect.DeepEqual(figures(g.Queues), figures(other.Queues)) && g.Dead == other.Dead && len(g.Processes) == len(other.Processes)
}

// charted is what v may see of charts: with a key for one queue those of that, if v names
// none. Charts of several queues together are not kept.
func (v Visitor) charted(c charted) (charted, error) {
	switch bound, _ := (job.Listing{}).Bind(v.Queues); {
	case !v.bound():
	case c.Queue == "" && bound.QueueName != "":
		c.Queue = bound.QueueName
	case c.Queue == "":
		return c, &pageError{http.StatusForbidden, "Figures of all queues together take a key for every queue: name one of yours, as in ?queue=mail."}
	case !v.sees(c.Queue):
		return c, &pageError{http.StatusForbidden, fmt.Sprintf("Your key is not for the queue %s.", short(c.Queue))}
	}
	return c, nil
}
