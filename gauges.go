package rookery

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/redisq"
)

// usageLimit bounds the one question that a scrape asks: a Redis that is away must
// not keep the other figures from being read.
const usageLimit = time.Second

// registerGauges adds what a process says of itself, whatever it does.
func (s *Service) registerGauges() error {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "rookery_build_info", Help: "1, with what this program was built from.",
	}, []string{"version", "revision", "go_version"})
	build.WithLabelValues(Version, revision(), runtime.Version()).Set(1)
	for _, c := range []prometheus.Collector{build, newGauges(s.store, s.redis, &s.pools)} {
		if err := s.registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
		s.own = append(s.own, c)
	}
	return nil
}

// revision is the commit that was built; "" outside of a repository.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// pools are those that are opened besides the Store's. The zero value has none.
type pools struct {
	mu   sync.Mutex
	open []*pgxpool.Pool
}

// watch shows a pool until ctx ends, as its user does.
func (p *pools) watch(ctx context.Context, pool *pgxpool.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, pool)
	context.AfterFunc(ctx, func() { p.forget(pool) })
}

func (p *pools) forget(pool *pgxpool.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, known := range p.open {
		if known == pool {
			p.open = append(p.open[:i], p.open[i+1:]...)
			return
		}
	}
}

// sum describes all of them as one: a label for each would grow with every door that
// is opened.
func (p *pools) sum() db.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := db.Pool{Name: "api"}
	for _, pool := range p.open {
		one := db.PoolOf("", pool)
		all.InUse, all.Idle, all.Max = all.InUse+one.InUse, all.Idle+one.Idle, all.Max+one.Max
		all.Waits, all.Waited = all.Waits+one.Waits, all.Waited+one.Waited
	}
	return all
}

// gauges reads the use of pools, and of Redis' memory, at each scrape.
type gauges struct {
	store *db.Store
	redis *redisq.Client
	pools *pools

	conns, most, waits, waited        *prometheus.Desc // of pools to Postgres
	redisConns, redisTimeouts         *prometheus.Desc
	redisUp, used, maximum, evictions *prometheus.Desc
}

func newGauges(store *db.Store, redis *redisq.Client, p *pools) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("rookery_"+name, help, labels, nil)
	}
	return &gauges{
		store: store, redis: redis, pools: p,
		conns:         desc("postgres_pool_connections", "Connections to Postgres.", "pool", "state"),
		most:          desc("postgres_pool_max_connections", "Connections that the pool opens at most.", "pool"),
		waits:         desc("postgres_pool_waits_total", "Times that no connection was idle.", "pool"),
		waited:        desc("postgres_pool_wait_seconds_total", "Time spent waiting for a connection.", "pool"),
		redisConns:    desc("redis_pool_connections", "Connections to Redis, without those that wait for bells.", "state"),
		redisTimeouts: desc("redis_pool_timeouts_total", "Waits for a connection to Redis that were given up."),
		redisUp:       desc("redis_up", "1 while Redis answers this process within a second."),
		used:          desc("redis_used_memory_bytes", "Memory that Redis uses."),
		maximum:       desc("redis_max_memory_bytes", "Memory that Redis may use; 0: no limit."),
		evictions:     desc("redis_evicted_keys_total", "Keys that Redis threw away for want of memory. Must stay 0."),
	}
}

// Describe is part of [prometheus.Collector].
func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.conns, g.most, g.waits, g.waited, g.redisConns, g.redisTimeouts, g.redisUp, g.used, g.maximum, g.evictions} {
		to <- d
	}
}

// Collect is part of [prometheus.Collector].
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, p := range append(g.store.Pools(), g.pools.sum()) {
		gauge(g.conns, float64(p.InUse), p.Name, "in_use")
		gauge(g.conns, float64(p.Idle), p.Name, "idle")
		gauge(g.most, float64(p.Max), p.Name)
		counter(g.waits, float64(p.Waits), p.Name)
		counter(g.waited, p.Waited.Seconds(), p.Name)
	}
	pool := g.redis.Pool()
	gauge(g.redisConns, float64(pool.InUse), "in_use")
	gauge(g.redisConns, float64(pool.Idle), "idle")
	counter(g.redisTimeouts, float64(pool.Timeouts))

	// A scrape brings no context of its own.
	ctx, cancel := context.WithTimeout(context.Background(), usageLimit) //nolint:forbidigo // see above
	defer cancel()
	usage, err := g.redis.Usage(ctx)
	if err != nil { // it is away: rather no figure than an old one
		gauge(g.redisUp, 0)
		return
	}
	gauge(g.redisUp, 1)
	gauge(g.used, float64(usage.UsedMemory))
	gauge(g.maximum, float64(usage.MaxMemory))
	counter(g.evictions, float64(usage.EvictedKeys))
}
