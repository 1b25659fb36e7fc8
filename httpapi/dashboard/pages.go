package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery/job"
)

type workersBody struct {
	Relays    []job.ProcessState
	Workers   []job.ProcessState
	RedisAway bool
}

// workers shows who hands jobs out, and who runs them.
func (d *Dashboard) workers(ctx context.Context, _ *http.Request, v Visitor) (content, error) {
	g, err := d.look(ctx, v)
	if err != nil {
		return content{}, err
	}
	body := workersBody{RedisAway: g.redisAway()}
	for _, p := range g.Processes {
		if p.Role == "relay" {
			body.Relays = append(body.Relays, p)
		} else {
			body.Workers = append(body.Workers, p)
		}
	}
	return content{template: "workers", title: "Workers", nav: "workers", live: true, body: body}, nil
}

type deadBody struct {
	Groups []deadLine
	Dead   int64
	Cap    int
	Capped bool // the groups are of the newest only
}

type deadLine struct {
	job.DeadGroup
	To string // the list of jobs like these
}

// lookAtDead returns a glance and the dead by how they died; both are asked for at once.
func (d *Dashboard) lookAtDead(ctx context.Context, v Visitor) (g glance, groups []job.DeadGroup, err error) {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		g, err = d.look(ctx, v)
		return err
	})
	both.Go(func() (err error) {
		groups, err = d.groups.look(ctx, v.queueKey())
		return err
	})
	return g, groups, both.Wait()
}

// dead shows what died, by how.
func (d *Dashboard) dead(ctx context.Context, _ *http.Request, v Visitor) (content, error) {
	g, groups, err := d.lookAtDead(ctx, v)
	if err != nil {
		return content{}, err
	}
	body := deadBody{Dead: g.Dead, Cap: job.GroupCap, Capped: g.Dead > job.GroupCap}
	for _, group := range groups {
		s := search{Queue: group.QueueName, Kind: group.Kind, Status: string(job.Dead)}
		body.Groups = append(body.Groups, deadLine{group, "/ui/jobs?q=" + url.QueryEscape(s.String())})
	}
	return content{template: "dead", title: "Dead letters", nav: "dead", live: true, body: body}, nil
}

type aboutBody struct {
	Settings []Setting
	Limits   []Setting
}

// about shows what this is, and what one may do here.
func (d *Dashboard) about(_ context.Context, _ *http.Request, v Visitor) (content, error) {
	settings := d.o.Settings
	if v.bound() {
		settings = nil // those of the process are of all queues
	}
	return content{template: "about", title: "About", nav: "about", body: aboutBody{Settings: settings, Limits: []Setting{
		{"Payload", number(job.MaxPayload) + " bytes"},
		{"Headers", number(job.MaxHeaders) + " bytes"},
		{"Kind", number(job.MaxKind) + " characters"},
		{"Queue name", number(job.MaxQueueName) + " characters"},
		{"Attempts", number(job.MaxMaxAttempts)},
		{"Window of a queue", number(job.MaxWindow) + " jobs"},
	}}}, nil
}

type storageBody struct {
	job.Storage
	Full int // of Redis' memory, 0 to 100; 0 without a limit
}

// storage shows what jobs take in Postgres and in Redis.
func (d *Dashboard) storage(ctx context.Context, _ *http.Request, _ Visitor) (content, error) {
	s, err := d.ports.Storage.Storage(ctx)
	if err != nil {
		return content{}, fmt.Errorf("look at storage: %w", err)
	}
	body := storageBody{Storage: s}
	if s.Redis != nil && s.Redis.Max > 0 {
		body.Full = int(min(100, s.Redis.Used*100/s.Redis.Max))
	}
	return content{template: "storage", title: "Storage", nav: "storage", live: true, body: body}, nil
}
