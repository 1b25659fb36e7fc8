package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// Link is the wire between one process and one server: a toxiproxy proxy. It
// outlives the process, whose next life uses the same one. What it does to a process
// it notes in the history. It belongs to one caller at a time.
type Link struct {
	Proc   string
	Server Server
	stage  *Stage
	proxy  *toxiproxy.Proxy
	lift   func() // notes that the present fault ends; nil: none
}

// Way is a direction on a link.
type Way string

// The ways.
const (
	Up   Way = "upstream"   // from the process to the server
	Down Way = "downstream" // from the server to the process
)

// hub is what toxiproxy calls an API server; ours has no API.
type hub struct {
	server *toxiproxy.ApiServer
	reset  func(*toxiproxy.Proxy) // takes all toxics off

	mu      sync.Mutex // guards proxies
	proxies []*toxiproxy.Proxy
}

func newHub() *hub {
	return &hub{
		server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		reset:  func(p *toxiproxy.Proxy) { p.Toxics.ResetToxics(context.Background()) }, // which only carries a logger
	}
}

func (h *hub) open(name, upstream string) (*toxiproxy.Proxy, error) {
	// Below the range of local ports, so that nobody sits on it while it is cut.
	for range 20 {
		port, err := QuietPort()
		if err != nil {
			return nil, err
		}
		p := toxiproxy.NewProxy(h.server, name, port, upstream)
		if err := p.Start(); err != nil {
			continue // taken meanwhile
		}
		h.mu.Lock()
		h.proxies = append(h.proxies, p)
		h.mu.Unlock()
		return p, nil
	}
	return nil, errors.New("no free port for a link")
}

func (h *hub) close() {
	h.mu.Lock()
	proxies := h.proxies
	h.proxies = nil
	h.mu.Unlock()
	for _, p := range proxies {
		p.Stop()
	}
}

// Link returns the link from a process (by name) to a server; it makes it when it is
// not there.
func (s *Stage) Link(proc string, server Server) (*Link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := proc + ">" + string(server)
	if l, ok := s.links[name]; ok {
		return l, nil
	}
	proxy, err := s.hub.open(name, s.targets[server])
	if err != nil {
		return nil, fmt.Errorf("open link %s: %w", name, err)
	}
	l := &Link{Proc: proc, Server: server, stage: s, proxy: proxy}
	s.links[name] = l
	return l, nil
}

// Links returns the links that lead to server; "" means all.
func (s *Stage) Links(server Server) []*Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*Link
	for _, l := range s.links {
		if server == "" || l.Server == server {
			found = append(found, l)
		}
	}
	return found
}

// Addr returns where the process connects to.
func (l *Link) Addr() string { return l.proxy.Listen }

// cause is what the history calls a fault of this link.
func (l *Link) cause() history.Cause {
	switch l.Server {
	case Redis:
		return history.CutRedis
	case Postgres:
		return history.CutPostgres
	}
	return history.CutServer
}

func (l *Link) noted(cause history.Cause) {
	if l.lift == nil {
		l.lift = l.stage.Fault(cause, l.Proc)
	}
}

// Cut closes every connection of the link and refuses new ones until Mend.
func (l *Link) Cut() {
	l.noted(l.cause())
	l.proxy.Stop()
}

// Drop closes every connection of the link; new ones are let in at once. It is no
// fault that may cause anything.
func (l *Link) Drop() error {
	defer l.stage.Fault(history.Other, l.Proc)()
	l.proxy.Stop()
	return l.proxy.Start()
}

// Swallow makes the link half-open: what goes one way vanishes, and no connection
// closes, until Mend.
func (l *Link) Swallow(way Way) error {
	l.noted(l.cause())
	return l.toxic(`{"name":"swallow-%[1]s","type":"timeout","stream":"%[1]s","attributes":{"timeout":0}}`, way)
}

// Slow delays everything that goes either way by d, until Mend. It is no fault that
// may cause a duplicate while d is well below the heartbeat.
func (l *Link) Slow(d time.Duration) error {
	l.noted(history.Other)
	for _, way := range []Way{Up, Down} {
		if err := l.toxic(`{"name":"slow-%[1]s","type":"latency","stream":"%[1]s","attributes":{"latency":%[2]d}}`, way, d.Milliseconds()); err != nil {
			return err
		}
	}
	return nil
}

// Choke lets n bytes pass one way and then closes each connection (toxiproxy's
// limit_data): a reply that is lost in the middle. Until Mend.
func (l *Link) Choke(way Way, n int) error {
	l.noted(history.Other)
	return l.toxic(`{"name":"choke-%[1]s","type":"limit_data","stream":"%[1]s","attributes":{"bytes":%[2]d}}`, way, n)
}

func (l *Link) toxic(format string, args ...any) error {
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(format, args...))); err != nil {
		return fmt.Errorf("link %s to %s: %w", l.Proc, l.Server, err)
	}
	return nil
}

// Mend undoes everything, and closes the connections, which may have lost data.
func (l *Link) Mend() error {
	l.proxy.Stop()
	if l.lift != nil || len(l.proxy.Toxics.GetToxicArray()) > 0 {
		l.stage.hub.reset(l.proxy)
	}
	if l.lift != nil { // noted before anything comes by it again
		l.lift()
		l.lift = nil
	}
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("mend link %s to %s: %w", l.Proc, l.Server, err)
	}
	return nil
}

// Aim has new connections of the link lead to another server.
func (l *Link) Aim(addr string) {
	l.proxy.Lock()
	defer l.proxy.Unlock()
	l.proxy.Upstream = addr
}

// faulty reports whether Mend has something to do.
func (l *Link) faulty() bool { return l.lift != nil }

// QuietPort returns an address of a port below the local range (32768 on).
func QuietPort() (string, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15_000+randomPort(17_000))
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		return addr, ln.Close()
	}
	return "", errors.New("no free port")
}
