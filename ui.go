package rookery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/httpapi"
	"github.com/penguinmails/rookery/httpapi/dashboard"
	"github.com/penguinmails/rookery/job"
)

// UI says what of the dashboard the API serves at /ui/.
type UI struct {
	Off      bool // nothing
	ReadOnly bool // nothing can be changed there
}

// uiOf reads ROOKERY_UI.
func uiOf(text string) (UI, error) {
	switch text {
	case "", "on":
		return UI{}, nil
	case "off":
		return UI{Off: true}, nil
	case "read-only":
		return UI{ReadOnly: true}, nil
	}
	return UI{}, fmt.Errorf("ROOKERY_UI is %q, must be on, off or read-only", text)
}

// dashboard makes the pages for people.
func (s *Service) dashboard(jobs *Jobs) func(*httpapi.Door) (httpapi.UI, error) {
	return func(door *httpapi.Door) (httpapi.UI, error) {
		h := house{jobs}
		o := dashboard.Options{ReadOnly: s.config.UI.ReadOnly, Version: Version, Settings: s.config.shown(), Logger: s.log}
		if door.Locked() {
			o.Door = doorway{door}
		}
		var err error
		if o.SignOn, o.URL, err = s.signOn(); err != nil {
			return nil, err
		}
		return dashboard.New(dashboard.Ports{Jobs: h, House: h, Live: jobs, As: h.as, Audit: s.store, Storage: h, Charts: jobs, Operations: s.store, Endpoints: endpointView{s.store, s.redis}}, o)
	}
}

// shown is what of the configuration people may see who may not see secrets.
func (c Config) shown() []dashboard.Setting {
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	kept := func(d time.Duration, name string) string {
		switch {
		case d < 0:
			return "for ever"
		case d == 0:
			return defaults[name]
		}
		return d.String()
	}
	yes := map[bool]string{true: "yes", false: "no"}
	return []dashboard.Setting{
		{Name: "Postgres", Value: masked(c.DatabaseURL)},
		{Name: "Redis", Value: masked(c.RedisURL)},
		{Name: "Address", Value: or(c.HTTPAddr, defaults["ROOKERY_HTTP_ADDR"])},
		{Name: "TLS", Value: yes[c.TLSCert != ""]},
		{Name: "Relays are woken by", Value: or(c.Wake, WakeNotify)},
		{Name: "Lease", Value: kept(c.Lease, "ROOKERY_LEASE")},
		{Name: "Jobs that are over are kept", Value: kept(c.Retention, "ROOKERY_RETENTION")},
		{Name: "Dead ones", Value: kept(c.RetentionDead, "ROOKERY_RETENTION_DEAD")},
		{Name: "Operations that are over", Value: kept(c.RetentionOperations, "ROOKERY_RETENTION_OPERATIONS")},
		{Name: "Spool while Postgres is away", Value: yes[c.Spool.On]},
		{Name: "Log", Value: c.LogLevel.String() + ", " + or(c.LogFormat, defaults["ROOKERY_LOG_FORMAT"])},
	}
}

// doorway gives the dashboard the API's door.
type doorway struct{ door *httpapi.Door }

// Enter is [httpapi.Door.Enter].
func (d doorway) Enter(r *http.Request, key string) (dashboard.Guest, error) {
	return guestOf(d.door.Enter(r, key))
}

// Again is [httpapi.Door.Again].
func (d doorway) Again(r *http.Request, name string) (dashboard.Guest, error) {
	return guestOf(d.door.Again(r, name))
}

// Try is [httpapi.Door.Try].
func (d doorway) Try(r *http.Request) error {
	_, err := guestOf(httpapi.Guest{}, d.door.Try(r))
	return err
}

// Strange is [httpapi.Door.Strange].
func (d doorway) Strange(r *http.Request) { d.door.Strange(r) }

func guestOf(g httpapi.Guest, err error) (dashboard.Guest, error) {
	if errors.Is(err, httpapi.ErrTooOften) {
		err = dashboard.ErrTooOften
	}
	return dashboard.Guest{Name: g.Name, Scopes: g.Scopes, Queues: g.Queues, Seal: g.Seal}, err
}

// as puts jobs and queues into somebody's hands.
func (h house) as(by job.Actor) dashboard.Hands {
	a := h.As(by)
	return dashboard.Hands{Jobs: a, Queues: a, Operations: operating{h.store, by}, Endpoints: switching{h.store, by}}
}

// operating does something to many jobs for somebody.
type operating struct {
	store *db.Store
	by    job.Actor
}

// Start is [db.Store.StartOperation], for whichever server takes it up.
func (o operating) Start(ctx context.Context, action job.Action, l job.Listing) (job.Operation, error) {
	return o.store.StartOperation(ctx, o.by, action, l, "")
}

// Cancel is [db.Store.CancelOperation].
func (o operating) Cancel(ctx context.Context, id int64) (bool, error) {
	_, cancelled, err := o.store.CancelOperation(ctx, o.by, id)
	return cancelled, err
}

// house is what the dashboard looks at.
type house struct{ *Jobs }

// Ahead is [db.Store.Ahead].
func (h house) Ahead(ctx context.Context, j job.Job) (int64, error) { return h.store.Ahead(ctx, j) }

// CountDead is [db.Store.CountDead].
func (h house) CountDead(ctx context.Context, queues []string) (int64, error) {
	return h.store.CountDead(ctx, queues)
}

// DeadGroups is [db.Store.DeadGroups].
func (h house) DeadGroups(ctx context.Context, queues []string) ([]job.DeadGroup, error) {
	return h.store.DeadGroups(ctx, queues)
}

// Queues is [Jobs.Queues], where counting stops sooner: beyond it stands what the relays
// counted when the last minute began, if that is more.
func (h house) Queues(ctx context.Context) ([]job.QueueStats, error) {
	stats, err := h.countedQueues(ctx, job.QueueCap)
	scheduled, ended := int64(0), false
	for _, q := range stats {
		scheduled, ended = scheduled+q.Scheduled, ended || q.Ready >= job.QueueCap
	}
	if err != nil || !ended && scheduled < job.QueueCap {
		return stats, err
	}
	// By this process's clock: when it is wrong, the counts end at the cap.
	now := time.Now()
	depths, err := h.store.Depths(ctx, job.StatRange{From: now.Add(-3 * time.Minute), To: now.Add(time.Minute), Step: 4 * time.Minute})
	for _, d := range depths {
		i := slices.IndexFunc(stats, func(q job.QueueStats) bool { return q.Name == d.QueueName })
		if i >= 0 && stats[i].Ready >= job.QueueCap {
			stats[i].Ready = max(stats[i].Ready, d.Ready)
		}
		if i >= 0 && scheduled >= job.QueueCap {
			stats[i].Scheduled = max(stats[i].Scheduled, d.Scheduled)
		}
	}
	return stats, err
}

// Storage returns what jobs take in Postgres, and in Redis if that answers.
func (h house) Storage(ctx context.Context) (job.Storage, error) {
	out, err := h.store.Storage(ctx)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, redisLimit)
	defer cancel()
	if s, err := h.redis.Inspect(ctx); err == nil {
		out.Redis = &job.RedisFacts{Version: s.Version, EvictionPolicy: s.EvictionPolicy, AppendOnly: s.AppendOnly, Used: s.UsedMemory, Max: s.MaxMemory}
	}
	return out, nil
}
