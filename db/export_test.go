package db

import "github.com/jackc/pgx/v5/pgxpool"

// Pinned returns the pool whose plans are pinned: tests look at its sessions.
func (s *Store) Pinned() *pgxpool.Pool { return s.pool }
