package db

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Pool is how much of a pool of connections is used.
type Pool struct {
	Name             string
	InUse, Idle, Max int32
	Waits            int64         // acquires that found no connection idle
	Waited           time.Duration // all of these together
}

// PoolOf describes a pool at this moment.
func PoolOf(name string, p *pgxpool.Pool) Pool {
	s := p.Stat()
	return Pool{Name: name, InUse: s.AcquiredConns(), Idle: s.IdleConns(), Max: s.MaxConns(), Waits: s.EmptyAcquireCount(), Waited: s.EmptyAcquireWaitTime()}
}

// Pools describes the Store's two pools at this moment: jobs, of relays and workers,
// and look, of the windows for people.
func (s *Store) Pools() []Pool { return []Pool{PoolOf("jobs", s.pool), PoolOf("look", s.look)} }
