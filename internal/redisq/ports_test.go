package redisq

import "github.com/penguinmails/rookery/workers"

// What workers ask for, this package has.
var (
	_ workers.Queue  = (*Client)(nil)
	_ workers.Leases = (*Client)(nil)
)
