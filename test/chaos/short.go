package main

// shortForm names the faults of the short form: one or two of each family, chosen so
// that all of them together, six at a time, take less than four minutes on two cores.
func shortForm() []string {
	return []string{
		"calm",
		"relay-kill-after-claim", "relay-freeze-after-claim", "relay-kill-turns-2", "notify-lost", "priority-order",
		"worker-kill", "worker-kill-before-ack", "worker-freeze", "worker-cut-redis", "take-reply-lost",
		"client-kill", "client-freeze", "serve-kill", "client-reply-lost",
		"push-kill", "receiver-kill", "endpoint-reply-lost", "push-flushall",
		"flushall", "redis-kill-empty", "redis-stall-20", "sentinel-lag",
		"postgres-kill", "postgres-terminate", "failover-synchronous",
		"clock-worker-ahead",
		"kill-everything",
	}
}
