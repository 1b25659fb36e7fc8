package rookery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/push"
	"github.com/penguinmails/rookery/workers"
)

// Push says where jobs may be delivered to. The zero value lets requests go to public
// addresses, by https, on ports 443 and 8443.
type Push struct {
	On        bool           // rookery serve runs push workers too
	AllowHTTP bool           // plain http too, and port 80
	Ports     []uint16       // besides these
	Networks  []netip.Prefix // that may be reached although they are not public

	CallbackURL string // where receivers reach the API, such as https://rookery.example; "": they cannot call back
}

func (p Push) policy() push.Policy {
	return push.Policy{AllowHTTP: p.AllowHTTP, Ports: p.Ports, Networks: p.Networks}
}

// Push returns the push workers, to be run: they deliver the jobs of every queue that
// has an endpoint, and follow as endpoints change. They take what rookery_worker and
// rookery_pusher may.
func (s *Service) Push() (*push.Push, error) {
	client, err := s.config.pushClient()
	if err != nil {
		return nil, err
	}
	return push.New(s.store, client, s.pushWorker, push.Options{CallbackURL: s.config.Push.CallbackURL, Permits: s.redis, Registerer: s.registry, Logger: s.log, Failpoint: s.failpoint})
}

func (c Config) pushClient() (*push.Client, error) {
	return push.NewClient(push.ClientOptions{Policy: c.Push.policy(), UserAgent: "Rookery/" + Version})
}

// pushWorker makes the worker of one endpoint. There may be many in one process, so
// each one's metrics have the further label push, its queue.
func (s *Service) pushWorker(queue string, slots int, h workers.Handler) (push.Runner, error) {
	registry, own := workers.NewRegistry(), prometheus.NewRegistry()
	registry.HandleQueue(queue, h, workers.HandlerOptions{Timeout: -1}) // the endpoint has one
	w, err := s.Worker(registry, workers.Options{
		Queues: []workers.QueueWeight{{Name: queue}}, Concurrency: slots, Registerer: own,
	})
	if err != nil {
		return nil, err
	}
	return pushRunner{w, own, prometheus.WrapRegistererWith(prometheus.Labels{"push": queue}, s.registry), s.log}, nil
}

// pushRunner is a worker whose metrics are registered while it runs.
type pushRunner struct {
	*workers.Worker
	own *prometheus.Registry
	to  prometheus.Registerer
	log *slog.Logger
}

// Run is [workers.Worker.Run]. Beside a worker of another kind in one process, whose
// metrics have one label less, it runs without metrics of its own.
func (r pushRunner) Run(ctx context.Context) error {
	if err := r.to.Register(r.own); err != nil {
		r.log.WarnContext(ctx, "a push worker runs without worker metrics", "error", err)
	} else {
		defer r.to.Unregister(r.own)
	}
	return r.Worker.Run(ctx)
}

// endpoints is what people do with endpoints, over HTTP and by the command line.
type endpoints struct {
	store  *db.Store
	policy push.Policy
	client *push.Client
}

// SetEndpoint has a queue delivered to e's URL. The secret is that of a new endpoint,
// shown once, and "" for one that was there. A [*job.FieldError] says what is wrong
// with e, or that requests may not go there.
func (e endpoints) SetEndpoint(ctx context.Context, by job.Actor, want job.Endpoint) (set job.Endpoint, secret string, err error) {
	want = want.Filled()
	if err := want.Check(); err != nil {
		return want, "", fmt.Errorf("set endpoint: %w", err)
	}
	if err := e.policy.CheckURL(want.URL); err != nil {
		return want, "", fmt.Errorf("set endpoint: %w", err)
	}
	secret = job.NewEndpointSecret()
	set, created, err := e.store.SetEndpoint(ctx, by, want, secret)
	if err != nil || !created {
		secret = ""
	}
	return set, secret, err
}

// Endpoint returns a queue's endpoint, or [job.ErrNotFound].
func (e endpoints) Endpoint(ctx context.Context, queue string) (job.Endpoint, error) {
	return e.store.Endpoint(ctx, queue)
}

// RotateEndpoint makes a new secret, and has the one before sign as well for keep.
func (e endpoints) RotateEndpoint(ctx context.Context, by job.Actor, queue string, keep time.Duration) (secret string, err error) {
	secret = job.NewEndpointSecret()
	if err := e.store.RotateEndpoint(ctx, by, queue, secret, keep); err != nil {
		return "", err
	}
	return secret, nil
}

// DeleteEndpoint takes a queue's endpoint away; false: there was none.
func (e endpoints) DeleteEndpoint(ctx context.Context, by job.Actor, queue string) (bool, error) {
	return e.store.DeleteEndpoint(ctx, by, queue)
}

// TestEndpoint records that by asked, and sends a queue's endpoint a request without a job.
func (e endpoints) TestEndpoint(ctx context.Context, by job.Actor, queue string) (job.EndpointTest, error) {
	known, err := e.store.SignedEndpoint(ctx, queue)
	if err != nil {
		return job.EndpointTest{}, err
	}
	if err := e.store.RecordChange(ctx, by.Did("endpoint.test", queue, queue, nil)); err != nil {
		return job.EndpointTest{}, err // no request without its line
	}
	return e.client.Test(ctx, known)
}

// endpointView is what the dashboard sees of endpoints.
type endpointView struct {
	*db.Store
	redis *redisq.Client
}

// InFlight is [redisq.Client.InFlight].
func (v endpointView) InFlight(ctx context.Context, queues []string) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, redisLimit)
	defer cancel()
	return v.redis.InFlight(ctx, queues)
}

// switching enables and disables endpoints for somebody.
type switching struct {
	store *db.Store
	by    job.Actor
}

// SwitchEndpoint is [db.Store.SwitchEndpoint].
func (s switching) SwitchEndpoint(ctx context.Context, queue string, on bool) (bool, error) {
	return s.store.SwitchEndpoint(ctx, s.by, queue, on)
}

// Endpoints lists where queues are delivered to.
func Endpoints(ctx context.Context, url string) (all []job.Endpoint, err error) {
	err = withStore(ctx, url, func(s *db.Store) error {
		all, err = s.Endpoints(ctx)
		return err
	})
	return all, err
}

// SetEndpoint has a queue delivered to e's URL; zero values take the defaults. The
// secret is that of a new endpoint, shown once, and "" for one that was there.
func SetEndpoint(ctx context.Context, c Config, e job.Endpoint) (set job.Endpoint, secret string, err error) {
	err = withEndpoints(ctx, c, func(all endpoints) error {
		set, secret, err = all.SetEndpoint(ctx, AtTheCommandLine(), e)
		return err
	})
	return set, secret, err
}

// RotateEndpoint makes a new secret for a queue's endpoint; the one before signs too
// for keep.
func RotateEndpoint(ctx context.Context, c Config, queue string, keep time.Duration) (secret string, err error) {
	err = withEndpoints(ctx, c, func(all endpoints) error {
		secret, err = all.RotateEndpoint(ctx, AtTheCommandLine(), queue, keep)
		return err
	})
	return secret, err
}

// DeleteEndpoint takes a queue's endpoint away; false: there was none.
func DeleteEndpoint(ctx context.Context, c Config, queue string) (done bool, err error) {
	err = withEndpoints(ctx, c, func(all endpoints) error {
		done, err = all.DeleteEndpoint(ctx, AtTheCommandLine(), queue)
		return err
	})
	return done, err
}

// TestEndpoint sends a queue's endpoint a request without a job, from this process.
func TestEndpoint(ctx context.Context, c Config, queue string) (came job.EndpointTest, err error) {
	err = withEndpoints(ctx, c, func(all endpoints) error {
		came, err = all.TestEndpoint(ctx, AtTheCommandLine(), queue)
		return err
	})
	return came, err
}

func withEndpoints(ctx context.Context, c Config, do func(endpoints) error) error {
	client, err := c.pushClient()
	if err != nil {
		return err
	}
	defer client.Close()
	return withStore(ctx, c.DatabaseURL, func(s *db.Store) error { return do(endpoints{s, c.Push.policy(), client}) })
}

// SignWebhook returns the headers of Standard Webhooks for a body: what a push worker
// would send.
func SignWebhook(secret, id string, at time.Time, body []byte) (map[string]string, error) {
	signature, err := push.Sign([]string{secret}, id, at, body)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		push.HeaderID: id, push.HeaderTimestamp: strconv.FormatInt(at.Unix(), 10), push.HeaderSignature: signature,
	}, nil
}

// VerifyWebhook returns nil when a request's headers and body were signed with secret
// within 5 minutes of now.
func VerifyWebhook(secret, id, timestamp, signatures string, body []byte, now time.Time) error {
	return push.Verify(secret, id, timestamp, signatures, body, now)
}

// pushOf reads ROOKERY_PUSH and ROOKERY_PUSH_ALLOW_….
func pushOf(read func(string) string) (p Push, err error) {
	for _, one := range []struct {
		name string
		to   *bool
	}{{"ROOKERY_PUSH", &p.On}, {"ROOKERY_PUSH_ALLOW_HTTP", &p.AllowHTTP}} {
		if text := read(one.name); text != "" {
			if *one.to, err = strconv.ParseBool(text); err != nil {
				return p, errors.New(one.name + " must be true or false")
			}
		}
	}
	p.CallbackURL = read("ROOKERY_CALLBACK_URL")
	anyScheme := push.Policy{AllowHTTP: true} // a flag may allow it yet: push workers ask again
	if err := anyScheme.CheckCallbackURL(p.CallbackURL); err != nil {
		return p, fmt.Errorf("ROOKERY_CALLBACK_URL %w", err)
	}
	if p.Ports, err = ParsePorts(read("ROOKERY_PUSH_ALLOW_PORTS")); err != nil {
		return p, fmt.Errorf("ROOKERY_PUSH_ALLOW_PORTS %w", err)
	}
	if p.Networks, err = ParseNetworks(read("ROOKERY_PUSH_ALLOW_NETWORKS")); err != nil {
		return p, fmt.Errorf("ROOKERY_PUSH_ALLOW_NETWORKS %w", err)
	}
	return p, nil
}

// ParsePorts reads numbers with commas between.
func ParsePorts(text string) (ports []uint16, err error) {
	for one := range words(text) {
		n, err := strconv.ParseUint(one, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("has %q, must be ports with commas between, such as 8080,3000", one)
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

// ParseNetworks reads networks with commas between.
func ParseNetworks(text string) (networks []netip.Prefix, err error) {
	for one := range words(text) {
		n, err := netip.ParsePrefix(one)
		if err != nil || n.Addr().Is4In6() || n.Masked() != n {
			return nil, fmt.Errorf("has %q, must be networks with commas between, such as 10.1.0.0/16,fd00:1::/32", one)
		}
		networks = append(networks, n)
	}
	return networks, nil
}

func words(text string) func(func(string) bool) {
	return strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' })
}
