package stage

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/verify"
)

// endpoint is where the jobs of a queue are delivered to: a receiver of its own, past a
// link that all push workers share, for the URL stands in Postgres.
type endpoint struct {
	verify.Endpoint
	listen string // of the receiver
	link   *Link
	secret string
}

// prepareEndpoints has each queue delivered to a receiver that is not there yet.
func (s *Stage) prepareEndpoints(ctx context.Context) error {
	s.endpoints = map[string]*endpoint{}
	if s.Options.Pushers == 0 {
		return nil
	}
	if err := s.certify(); err != nil {
		return err
	}
	for i, queue := range s.Options.Queues {
		n := strconv.Itoa(i + 1)
		e := &endpoint{Endpoint: verify.Endpoint{Receiver: "receiver-" + n, Link: "endpoint-" + n, InFlight: s.Options.InFlight}}
		var err error
		if e.link, err = s.Link(e.Link, Server(e.Receiver)); err != nil { // it leads nowhere yet
			return err
		}
		s.endpoints[queue] = e
	}
	for queue := range s.endpoints { // a port that is allowed counts for all
		if err := s.SetEndpoint(ctx, queue); err != nil {
			return err
		}
	}
	return nil
}

// SetEndpoint has a queue delivered to its receiver, and enables that again.
func (s *Stage) SetEndpoint(ctx context.Context, queue string) error {
	e, o, scheme := s.endpoints[queue], s.Options, "http"
	if o.PushTLS {
		scheme = "https"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	set := exec.CommandContext(ctx, filepath.Join(o.Bin, "rookery"), "webhooks", "set", queue,
		"--url", scheme+"://"+e.link.Addr()+"/jobs", "--timeout", o.PushTimeout.String(), "--max-in-flight", strconv.Itoa(e.InFlight))
	set.Env = append([]string{"PATH=" + os.Getenv("PATH"), "DATABASE_URL=" + s.postgres.URL("rookery"), "REDIS_URL=" + s.redis.URL()}, s.allowed()...)
	out, err := set.Output()
	if err != nil {
		return fmt.Errorf("set endpoint: %w: %s", err, complaint(err))
	}
	if secret := strings.TrimSpace(string(out)); secret != "" { // it is shown once
		e.secret = secret
	}
	return nil
}

func complaint(err error) string {
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Output gave it
		return strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}

// allowed lets push workers reach the receivers, which are on this machine.
func (s *Stage) allowed() []string {
	var ports []string
	for _, e := range s.endpoints {
		if _, port, err := net.SplitHostPort(e.link.Addr()); err == nil {
			ports = append(ports, port)
		}
	}
	return []string{"SSL_CERT_FILE=" + s.certFile(), "ROOKERY_PUSH_ALLOW_HTTP=true", "ROOKERY_PUSH_ALLOW_NETWORKS=127.0.0.0/8", "ROOKERY_PUSH_ALLOW_PORTS=" + strings.Join(ports, ",")}
}

// pushEnv is what the next life of a push worker gets besides. It tells receivers to call
// back at an address of its own, a link to one of the servers, so that each delivery says
// which life has sent it.
func (s *Stage) pushEnv(p *Process) ([]string, error) {
	servers := s.Processes(Serve)
	life := p.lives + 1
	l, err := s.Link(fmt.Sprintf("%s.%d", p.Name, life), Server(servers[life%len(servers)].Name))
	if err != nil {
		return nil, err
	}
	p.callback = l.Addr()
	return append(s.allowed(), "ROOKERY_CALLBACK_URL=http://"+p.callback), nil
}

// receiverEnv is the environment of a receiver: it knows the servers, each past a link of
// its own, and neither Postgres nor Redis.
func (s *Stage) receiverEnv(name string) ([]string, error) {
	env, err := s.clientEnv(name)
	for _, e := range s.endpoints {
		if e.Receiver != name || err != nil {
			continue
		}
		if e.listen == "" { // its first life
			e.listen, err = QuietPort()
			s.aim(Server(name), e.listen)
		}
		env = append(env, "CHAOS_LISTEN="+e.listen, "CHAOS_SECRET="+e.secret)
		if s.Options.PushTLS {
			env = append(env, "CHAOS_CERT="+s.certFile(), "CHAOS_KEY="+s.keyFile())
		}
	}
	return env, err
}

// EndpointLink returns the link that a queue's deliveries take.
func (s *Stage) EndpointLink(queue string) *Link { return s.endpoints[queue].link }

// BusiestPush returns the push worker that has most deliveries at receivers just now, of
// these jobs if keys names any.
func (s *Stage) BusiestPush(keys ...string) (*Process, error) {
	under, err := verify.UnderWay(s.History(), keys...)
	if err != nil {
		return nil, err
	}
	all := s.Processes(Push)
	best := all[0]
	for _, p := range all[1:] {
		if under[p.Callback()] > under[best.Callback()] {
			best = p
		}
	}
	return best, nil
}

// Callback returns the address at which the present life of a push worker has receivers
// call back.
func (p *Process) Callback() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.callback
}

// endpointFacts are the endpoints as the verifier knows them; nil: nothing is pushed.
func (s *Stage) endpointFacts() map[string]verify.Endpoint {
	if len(s.endpoints) == 0 {
		return nil
	}
	facts := map[string]verify.Endpoint{}
	for queue, e := range s.endpoints {
		facts[queue] = e.Endpoint
	}
	return facts
}
