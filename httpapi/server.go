package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// The limits of a connection. An answer that is meant to take longer than
// writeTimeout moves its deadline by http.ResponseController.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = time.Minute
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	shutdownTimeout   = 15 * time.Second // more than any handler may take
)

// The keys of log lines.
const (
	logError     = "error"
	logRequestID = "request_id"
	logMethod    = "method"
	logRoute     = "route"
	logStatus    = "status"
	logSeconds   = "seconds"
	logClient    = "client"
	logStack     = "stack"
	logCheck     = "check"
	logJobID     = "job_id"
	logAddr      = "addr"
	logSpoolID   = "spool_id"
	logReason    = "reason"
	logPrincipal = "principal"
	logAction    = "action"
	logOperation = "operation_id"
	logJobs      = "jobs"
)

// Server is the HTTP API. Its methods may be called concurrently.
type Server struct {
	jobs    Jobs
	o       Options
	log     *slog.Logger
	m       *metrics
	guard   *guard
	gate    gate
	rates   *limiter     // of keys that people made; nil: none
	calls   *limiter     // of attempts whose receivers call back
	cert    *certificate // nil: no TLS
	health  *health
	detour  detour
	loads   loads
	hub     *hub // of those who listen to events
	exports exports
	api     []byte // the OpenAPI document
	docs    page   // and as a page for people
	ui      UI     // nil: none
	handler http.Handler

	operate chan struct{} // an operation has begun
	waits   *waits        // nil: this server does not wait for jobs

	mu       sync.Mutex
	listener net.Listener // nil before Listen
	ran      bool
}

// New returns a Server that does not listen yet. It refuses options that make no
// sense, above all an address that is not a loopback one without a key.
func New(jobs Jobs, o Options) (*Server, error) {
	if jobs == nil {
		return nil, errors.New("http api: jobs are missing")
	}
	o, err := o.filled()
	if err != nil {
		return nil, fmt.Errorf("http api: %w", err)
	}
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, fmt.Errorf("http api: register metrics: %w", err)
	}
	s := &Server{
		jobs:   jobs,
		o:      o,
		log:    o.Logger,
		m:      m,
		guard:  newGuard(o),
		calls:  newLimiter(callbackRate, callbackBurst),
		health: &health{checks: o.Checks, log: o.Logger},
	}
	s.operate = make(chan struct{}, 1) // 1: one word is enough for any number
	if o.Watch != nil {
		s.waits = newWaits(o.Watch)
	}
	s.hub = newHub(o.Events, func(ctx context.Context) ([]job.QueueStats, error) { return s.loads.get(ctx, jobs.Queues) })
	if o.Rate > 0 {
		s.rates = newLimiter(o.Rate, max(1, int(o.Rate)))
	}
	if o.CertFile != "" {
		if s.cert, err = newCertificate(o.CertFile, o.KeyFile, o.Logger); err != nil {
			return nil, fmt.Errorf("http api: %w", err)
		}
	}
	if err := s.describe(); err != nil {
		return nil, fmt.Errorf("http api: %w", err)
	}
	if o.UI != nil {
		if s.ui, err = o.UI(&Door{s.guard}); err != nil {
			return nil, fmt.Errorf("http api: %w", err)
		}
	}
	s.handler = s.routes()
	return s, nil
}

// Handler returns the whole API for a server of the caller's, who then has to
// bound what a connection may do, and to keep it from strangers when there is no
// key. Only [Server.Run] drains a spool, and hands out jobs to pull workers.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen takes the address, so that [Server.Addr] is known before [Server.Run]. A
// Server that listens must be Run, if only with a context that has ended, to let
// the address go. It may be left out, and does nothing when called again.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.o.Addr)
	if err != nil {
		return fmt.Errorf("http api: %w", err)
	}
	// A name such as localhost means what the resolver says.
	if tcp, ok := l.Addr().(*net.TCPAddr); !s.o.needsKey() && (!ok || !tcp.IP.IsLoopback()) {
		return errors.Join(fmt.Errorf("http api: %q is not a loopback address, and there is no key", s.o.Addr), l.Close())
	}
	s.listener = l
	return nil
}

// Addr returns the address the Server listens on, or the one it was given when it
// does not listen yet.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return s.o.Addr
	}
	return s.listener.Addr().String()
}

// Run listens and serves until ctx ends, and drains the spool if there is one. Then it takes no more requests, waits up
// to 15 s for those it has, which is longer than a handler may take, and closes
// what is left; it does not wait for a client that sends its body or reads its
// answer slower than that. It returns nil when ctx ended it, and can be called once.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	ran := s.ran
	s.ran = true
	s.mu.Unlock()
	if ran {
		return errors.New("http api: runs already or has run")
	}
	if err := s.Listen(); err != nil {
		return err
	}
	base, stop := context.WithCancel(context.WithoutCancel(ctx)) // requests outlive ctx
	defer stop()
	srv := &http.Server{
		Handler:           s.handler,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(s.hub.close)
	if s.ui != nil {
		srv.RegisterOnShutdown(s.ui.Close)
	}
	if s.waits != nil {
		srv.RegisterOnShutdown(s.waits.close)
	}
	var draining sync.WaitGroup
	drainCtx, stopDraining := context.WithCancel(ctx)
	defer draining.Wait()
	defer stopDraining()
	if s.guard.cache != nil {
		draining.Go(func() { s.guard.cache.run(drainCtx) })
	}
	if s.o.Keyed != nil && s.o.Spool == nil {
		draining.Go(func() { s.retireKeys(drainCtx) })
	}
	if s.o.Spool != nil {
		d := &drainer{spool: s.o.Spool, keyed: s.o.Keyed, detour: &s.detour, m: s.m, log: s.log, failpoint: s.o.Failpoint}
		d.prepare(drainCtx) // connections wait meanwhile
		draining.Go(func() { d.run(drainCtx) })
	}
	if s.o.Bulk != nil && !s.o.ReadOnly {
		o := &operator{work: s.o.Bulk.Work, holder: newHolder(), wake: s.operate, log: s.log, failpoint: s.o.Failpoint}
		draining.Go(func() { o.run(drainCtx) })
	}
	pulled := make(chan error, 1) // 1: as served
	if s.o.Pull != nil {
		go func() { pulled <- s.o.Pull.Run(drainCtx) }()
	} else {
		pulled <- nil
	}
	served := make(chan error, 1) // 1: Serve's goroutine ends even if nobody reads
	serve := srv.Serve
	if s.cert != nil {
		srv.TLSConfig = s.cert.config()
		serve = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
	}
	go func() { served <- serve(s.listener) }()
	s.log.InfoContext(ctx, "http api listens", logAddr, s.Addr())
	select {
	case err := <-served:
		stopDraining()
		return fmt.Errorf("http api: serve: %w", errors.Join(err, srv.Close(), <-pulled))
	case <-ctx.Done():
	}
	// Who has a lease still comes to end it.
	if err := <-pulled; err != nil {
		s.log.WarnContext(ctx, "leases were left behind", logError, err)
	}
	limit, cancel := context.WithTimeout(base, shutdownTimeout)
	defer cancel()
	if err := srv.Shutdown(limit); err != nil {
		stop()
		s.log.WarnContext(ctx, "http api cut off slow clients", logError, errors.Join(err, srv.Close()))
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http api: serve: %w", err)
	}
	s.log.InfoContext(ctx, "http api has ended")
	return nil
}
