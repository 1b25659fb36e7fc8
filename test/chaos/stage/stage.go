// Package stage is where a chaos run plays: a Postgres and a Redis of its own, a
// toxiproxy link from each process to each server, and real processes that are
// started, killed, frozen and thawed. Several stages may play in one process, side
// by side; nothing is shared between them but the folder with the programs.
//
//	<folder>/history   every act, see package history
//	<folder>/log/*     what each process said
//	<folder>/pg, redis the servers' files
//
// The stage notes by itself what it does to processes and links. What a fault does
// to a server in another way (SQL, a Redis command, a signal) it must note with
// [Stage.Fault]: the verifier explains nothing by a fault that it was not told of.
package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/test/chaos/history"
)

// Options says what plays. Dir, Template and Bin are required; the zero value of
// everything else is nothing of it.
type Options struct {
	Dir      string    // the stage's own folder; it must not exist
	Template *Template // the migrated cluster that Postgres starts with
	Bin      string    // the folder with rookery, worker and producer; see [Build]
	Seed     uint64    // of the producers; a run that is repeated produces the same jobs

	Relays, Workers, Producers int
	Servers, Clients           int     // `rookery serve`, and who leases jobs from them over HTTP
	Pushers                    int     // `rookery push`, a receiver for each queue; they need Servers, to call back
	API                        bool    // `rookery serve` (a relay too), and one more producer, that posts to it
	InFlight                   int     // max_in_flight of each endpoint; 0 means 4
	Slots                      int     // of each worker; 0 means 20
	Rate                       float64 // jobs a second, all producers together; 0 means 150
	Mix                        string  // what jobs do: see producer/mix.go; "" means "mixed"
	Queues                     []string
	Window                     int           // window_size of the queues; 0 leaves the default
	Lease                      time.Duration // 0 leaves the default of 15 s

	Postgres  map[string]string // postgresql.conf settings
	Durable   bool              // Postgres with fsync
	Redis     []string          // redis-server arguments
	AOF       bool
	RelayEnv  []string // NAME=value for every relay
	WorkerEnv []string // for every worker
	ClientEnv []string // for every client

	PushTimeout time.Duration // of a delivery; 0 means 3 s
	PushTLS     bool          // deliveries go by https, and HTTP/2, else by plain HTTP/1.1
}

// Stage is one run's world. Its methods are safe for concurrent use, except that
// one process or link belongs to one caller at a time.
type Stage struct {
	Options  Options
	Log      *history.Log
	Prepared any // what a fault's Prepare leaves for its Inject
	postgres *devstack.Postgres
	redis    *devstack.Redis
	admin    *pgxpool.Pool
	rdb      *redis.Client
	postURL  func(addr string) string // the URL for processes, given a link's address
	redisURL func(addr string) string
	hub      *hub
	kept     sync.Map // see Keep

	endpoints map[string]*endpoint // by queue

	mu       sync.Mutex // guards what follows
	procs    []*Process
	links    map[string]*Link
	closers  []func() error
	targets  map[Server]string // where new links lead
	inserted int
	look     func(ctx context.Context) (redis.UniversalClient, error)
}

// Server is what a link leads to: Postgres, Redis, or a `rookery serve` by its name.
type Server string

// The servers that all others need.
const (
	Postgres Server = "postgres"
	Redis    Server = "redis"
)

// New starts the servers, and no process yet. ctx bounds the start.
func New(ctx context.Context, o Options) (*Stage, error) {
	o = o.filled()
	if err := os.MkdirAll(filepath.Join(o.Dir, "log"), 0o755); err != nil {
		return nil, err
	}
	s := &Stage{Options: o, links: map[string]*Link{}, targets: map[Server]string{}, hub: newHub()}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("new stage: %w", err), s.Close())
	}
	return s, nil
}

func (o Options) filled() Options {
	if o.Slots == 0 {
		o.Slots = 20
	}
	if o.Rate == 0 {
		o.Rate = 150
	}
	if o.Mix == "" {
		o.Mix = "mixed"
	}
	settings := map[string]string{"max_wal_size": "128MB"} // it may lie in memory
	maps.Copy(settings, o.Postgres)
	o.Postgres = settings
	if o.InFlight == 0 {
		o.InFlight = 4
	}
	if o.PushTimeout == 0 {
		o.PushTimeout = 3 * time.Second
	}
	if len(o.Queues) == 0 {
		o.Queues = []string{"email:processing", "email:sending"}
	}
	return o
}

func (s *Stage) open(ctx context.Context) error {
	var err error
	if s.Log, err = history.Open(s.History(), "stage"); err != nil {
		return err
	}
	s.Own(s.Log.Close)
	dir := filepath.Join(s.Options.Dir, "pg")
	if err := s.Options.Template.copyTo(ctx, dir); err != nil {
		return err
	}
	s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir, Settings: s.Options.Postgres, Durable: s.Options.Durable})
	if err != nil {
		return err
	}
	s.Own(s.postgres.Stop)
	user, err := devstack.RedisUserArgs()
	if err != nil {
		return err
	}
	s.redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{
		Dir: filepath.Join(s.Options.Dir, "redis"), AOF: s.Options.AOF, Args: append(user, s.Options.Redis...),
	})
	if err != nil {
		return err
	}
	s.Own(s.redis.Stop)
	s.rdb = redis.NewClient(&redis.Options{Addr: s.redis.Addr(), PoolSize: 4, ReadTimeout: 2 * time.Second})
	s.Own(s.rdb.Close)
	s.SetPostgres(fmt.Sprintf("127.0.0.1:%d", s.postgres.Port()), func(addr string) string {
		return "postgres://postgres@" + addr + "/rookery?sslmode=disable"
	})
	s.SetRedis(s.redis.Addr(), func(addr string) string { return "redis://" + addr + "/0" })
	if err := s.openAdmin(ctx, s.targets[Postgres]); err != nil {
		return err
	}
	if err := s.prepareQueues(ctx); err != nil {
		return err
	}
	return s.prepareEndpoints(ctx)
}

// openAdmin opens the stage's own connections, which pass by all links.
func (s *Stage) openAdmin(ctx context.Context, addr string) error {
	pool, err := pgxpool.New(ctx, "postgres://postgres@"+addr+"/rookery?sslmode=disable&pool_max_conns=4")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin != nil {
		go s.admin.Close() // it waits for what is under way
	}
	s.admin = pool
	return nil
}

func (s *Stage) prepareQueues(ctx context.Context) error {
	if s.Options.Window == 0 {
		return nil
	}
	for _, name := range s.Options.Queues {
		if _, err := s.Admin().Exec(ctx, `INSERT INTO outbox.queues (name, window_size) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET window_size = excluded.window_size`, name, s.Options.Window); err != nil {
			return fmt.Errorf("set window: %w", err)
		}
	}
	return nil
}

// Own has close called by [Stage.Close], the last given first: for servers that a
// fault starts.
func (s *Stage) Own(closer func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, closer)
}

// Close kills every process and stops every server. The folder stays.
func (s *Stage) Close() error {
	var errs []error
	for _, p := range s.Processes("") {
		p.end()
	}
	s.hub.close()
	s.mu.Lock()
	closers, admin := s.closers, s.admin
	s.closers, s.admin = nil, nil
	s.mu.Unlock()
	if admin != nil {
		go admin.Close() // a connection may hang in a link that swallows
	}
	for _, closer := range slices.Backward(closers) {
		errs = append(errs, closer())
	}
	return errors.Join(errs...)
}

// History returns the path of the history file.
func (s *Stage) History() string { return filepath.Join(s.Options.Dir, "history") }

// PostgresServer returns the server that the stage began with.
func (s *Stage) PostgresServer() *devstack.Postgres { return s.postgres }

// RedisServer returns the server that the stage began with.
func (s *Stage) RedisServer() *devstack.Redis { return s.redis }

// Admin returns the stage's own connections to the present Postgres, past all links.
func (s *Stage) Admin() *pgxpool.Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admin
}

// RedisAdmin returns the stage's own client of the Redis it began with.
func (s *Stage) RedisAdmin() *redis.Client { return s.rdb }

// SetPostgres has links to Postgres lead to addr from now on, existing ones too
// (connections that are open stay open: cut them), and gives the URL that processes
// started from now on are given, of a link's address. The stage's own connections
// move too when they exist. Used in Prepare for a pooler, in Inject for a failover.
func (s *Stage) SetPostgres(addr string, url func(linkAddr string) string) {
	if url != nil {
		s.postURL = url
	}
	s.aim(Postgres, addr)
}

// SetRedis is SetPostgres for Redis. A url that does not use linkAddr (Sentinel,
// Cluster) means that processes reach Redis past the links.
func (s *Stage) SetRedis(addr string, url func(linkAddr string) string) {
	if url != nil {
		s.redisURL = url
	}
	s.aim(Redis, addr)
}

func (s *Stage) aim(server Server, addr string) {
	s.mu.Lock()
	s.targets[server] = addr
	var moved []*Link
	for _, l := range s.links {
		if l.Server == server {
			moved = append(moved, l)
		}
	}
	s.mu.Unlock()
	for _, l := range moved {
		l.Aim(addr)
	}
}

// MoveAdmin has the stage's own connections go to another Postgres: after a failover
// final tables are read there.
func (s *Stage) MoveAdmin(ctx context.Context, addr string) error { return s.openAdmin(ctx, addr) }

// Fault notes that a fault of this cause begins, and returns what notes its end.
// targets are names of processes; none means everybody.
func (s *Stage) Fault(cause history.Cause, targets ...string) (lift func()) {
	if len(targets) == 0 {
		targets = []string{"*"}
	}
	note := func(word history.Word) {
		acts := make([]history.Act, len(targets))
		for i, t := range targets {
			acts[i] = history.Act{Word: word, Cause: cause, Target: t}
		}
		_ = s.Log.Note(acts...) // a full disk shows as a run without history
	}
	note(history.Fault)
	var once sync.Once
	return func() { once.Do(func() { note(history.Lifted) }) }
}
