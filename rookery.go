// Package rookery wires the house: it is the one package that sees all of it, for
// the binary and for programs that embed a relay or workers.
//
//	svc, err := rookery.Open(ctx, rookery.Config{DatabaseURL: …, RedisURL: …})
//	defer svc.Close()
//
//	registry := workers.NewRegistry()
//	registry.Handle("welcome", workers.Typed(sendWelcome), workers.HandlerOptions{})
//	w, err := svc.Worker(registry, workers.Options{Queues: []workers.QueueWeight{{Name: "email:processing"}}})
//	err = w.Run(ctx)
//
// It owns connections and configuration, and leaves every decision about jobs to
// relay, workers and httpapi. Producers do not need it: they import package outbox.
package rookery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/failpoint"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/relay"
	"github.com/penguinmails/rookery/workers"
)

// Version is the version of this build; a release sets it at link time.
var Version = "0.1.0-dev"

// Config says where things are. DatabaseURL and RedisURL are required, everything
// else has a default. [LoadConfig] reads it from file and environment.
type Config struct {
	DatabaseURL string        // postgres://user:password@host:5432/database
	ListenURL   string        // where relays LISTEN, past a pooler that DatabaseURL leads to; "" means DatabaseURL
	Wake        string        // how relays are woken: [WakeNotify], [WakeWAL]; "" means WakeNotify
	RedisURL    string        // redis://, rediss://, redis+sentinel://, redis+cluster://
	Lease       time.Duration // how long a silent worker keeps its jobs; every process must use the same; 0 means 15 s
	HTTPAddr    string        // of the API; "" means 127.0.0.1:8080
	APIKeys     []string      // bearer keys that are good for everything; none, and not RequireKey: loopback only
	RequireKey  bool          // let nobody in without a key; those that people made (see [CreateKey]) are enough
	OIDC        OIDC          // whose tokens the API takes beside keys; the zero value: nobody's
	Rate        float64       // requests a second of each key that people made; 0 means 1000, below 0 no limit
	TLSCert     string        // PEM file; with TLSKey the API speaks TLS
	TLSKey      string        // PEM file
	UI          UI            // the dashboard; the zero value serves it with the API
	Push        Push          // where jobs may be delivered to
	Spool       Spool         // keeps the API's jobs in Redis while Postgres is away; the zero value does not
	LogLevel    slog.Level
	LogFormat   string // text or json; "" means text

	// How long relays keep jobs that are over; then they are deleted with their
	// history. Negative: for ever.
	Retention     time.Duration // of completed and cancelled jobs; 0 means 7 days
	RetentionDead time.Duration // of dead ones; 0 means 30 days
	// RetentionOperations is how long they keep operations that are over; 0 means 30 days.
	RetentionOperations time.Duration

	Logger   *slog.Logger         // nil: one is made of LogLevel and LogFormat, to stderr
	Registry *prometheus.Registry // nil: a fresh one with Go's and the process's metrics
}

// How producers wake a relay. WakeWAL takes none of NOTIFY's lock. It is for a
// Postgres whose wal_level is logical already, and falls back to WakeNotify, saying
// so, while anything it needs is missing.
const (
	WakeNotify = "notify"
	WakeWAL    = "wal"
)

// Service holds the connections that relays, workers and the API of one process
// share. It is safe for concurrent use.
type Service struct {
	config    Config
	store     *db.Store
	redis     *redisq.Client
	log       *slog.Logger
	registry  *prometheus.Registry
	own       []prometheus.Collector // in registry, until Close
	pools     pools
	failpoint func(string)
}

// Open makes the connections' pools. It does not wait for the servers, so that a
// process starts while one of them is away; the error is about the configuration.
// It refuses a Redis that answers and would evict jobs.
func Open(ctx context.Context, c Config) (*Service, error) {
	s := &Service{config: c, log: c.Logger, registry: c.Registry}
	if s.log == nil {
		s.log = c.logger()
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
		s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	var err error
	if s.failpoint, err = failpoint.FromEnv(); err != nil {
		return nil, err
	}
	if err := CheckWake("Config.Wake", c.Wake); err != nil {
		return nil, err
	}
	if c.DatabaseURL == "" {
		return nil, errors.New("DATABASE_URL is not set, e.g. postgres://user:password@host:5432/database")
	}
	if c.RedisURL == "" {
		return nil, errors.New("REDIS_URL is not set, e.g. redis://host:6379")
	}
	if s.store, err = db.Open(ctx, c.DatabaseURL, db.Options{Logger: s.log, Failpoint: s.failpoint}); err != nil {
		return nil, err
	}
	if s.redis, err = (redisq.Options{Logger: s.log, SealKeys: s.store.SealKeys}).Open(ctx, c.RedisURL); err != nil {
		s.store.Close()
		return nil, err
	}
	if err := errors.Join(s.refuseEviction(ctx), s.registerGauges()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// refuseEviction keeps a process from entrusting jobs to a Redis that throws keys
// away when it is full. One that does not answer, or does not say, is let through:
// doctor looks closer.
func (s *Service) refuseEviction(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	server, err := s.redis.Inspect(ctx)
	if err != nil || server.EvictionPolicy == "" || !server.Evicts() {
		return nil
	}
	return fmt.Errorf("redis evicts keys when it is full (maxmemory-policy %s): jobs would vanish; set it to noeviction", server.EvictionPolicy)
}

// Close ends all connections. What was made of the service must have ended before.
func (s *Service) Close() error {
	for _, c := range s.own {
		s.registry.Unregister(c)
	}
	s.store.Close()
	return s.redis.Close()
}

// Relay returns a relay of this process, to be run.
func (s *Service) Relay() (*relay.Relay, error) {
	source, err := s.source()
	if err != nil {
		return nil, fmt.Errorf("where to listen: %w", err)
	}
	return relay.New(s.store, s.redis, source, relay.Options{
		Lease: s.config.Lease, Registerer: s.registry, Logger: s.log, Failpoint: s.failpoint,
		Retention: s.config.Retention, RetentionDead: s.config.RetentionDead, RetentionOperations: s.config.RetentionOperations,
	})
}

// source is what wakes a relay.
func (s *Service) source() (relay.Source, error) {
	url := s.config.listenURL()
	if s.config.Wake == WakeWAL {
		return db.NewTail(url, db.TailOptions{Logger: s.log, Registerer: s.registry})
	}
	return db.NewListener(url, s.log)
}

func (c Config) listenURL() string { return cmp.Or(c.ListenURL, c.DatabaseURL) }

// Worker returns a worker with the handlers of registry, to be run. Options that
// are zero take the service's logger, metrics and lease; an Options.Lease of its
// own must be that of all other processes.
func (s *Service) Worker(registry *workers.Registry, o workers.Options) (*workers.Worker, error) {
	if o.Lease == 0 {
		o.Lease = s.config.Lease
	}
	if o.Beat == 0 && o.Lease > 0 {
		o.Beat = o.Lease / 3
	}
	if o.Logger == nil {
		o.Logger = s.log
	}
	if o.Registerer == nil {
		o.Registerer = s.registry
	}
	if o.Failpoint == nil {
		o.Failpoint = s.failpoint
	}
	if o.Figures == nil {
		o.Figures = s.store
	}
	return workers.New(s.store, s.redis, s.redis, registry, o)
}

// Quiet ends the log lines that the Redis driver prints by itself. It changes a
// setting of the whole process, so it is for a program's main.
func Quiet() { redisq.Quiet() }
