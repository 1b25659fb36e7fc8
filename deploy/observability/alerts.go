package observability

// Expressions that an alert and a panel share.
const (
	ready   = `max by (queue) (rookery_queue_ready_jobs)`
	out     = `max by (queue) (rookery_queue_out_jobs)`
	oldest  = `max by (queue) (rookery_queue_oldest_seconds)`
	workers = `max by (queue) (rookery_queue_workers)`
	running = `max by (queue) (rookery_queue_paused) == 0` // not paused

	dispatched = `sum by (queue) (rate(rookery_relay_dispatched_jobs_total[5m]))`
	dead       = `sum by (queue) (increase(rookery_worker_attempts_total{outcome=~"dead|discarded"}[15m]))`
	failing    = `sum by (queue) (rate(rookery_worker_attempts_total{outcome=~"failed|dead|discarded"}[15m]))`
	trying     = `sum by (queue) (rate(rookery_worker_attempts_total{outcome=~"completed|failed|dead|discarded"}[15m]))`
	tried      = `sum by (queue) (increase(rookery_worker_attempts_total{outcome=~"completed|failed|dead|discarded"}[15m]))`
	leasesLost = `sum by (queue) (increase(rookery_worker_lost_leases_total[15m]))`
	lag        = `histogram_quantile(0.95, sum by (le) (rate(rookery_worker_reconcile_lag_seconds_bucket[5m])))`
	evicted    = `max(increase(rookery_redis_evicted_keys_total[15m]))`
	spooled    = `max(rookery_spool_waiting_entries)`
)

// The severities. Page: jobs wait, or may be lost, until a person acts. Ticket: within
// the day.
const (
	page   = "page"
	ticket = "ticket"
)

// alert is one rule of Prometheus.
type alert struct {
	name     string
	expr     string // lines are kept
	lasts    string // how long expr must hold
	severity string
	summary  string // with Prometheus' own templates
	remedy   string // what to look at
}

// alerts are all of them, the most urgent first.
func alerts() []alert {
	return []alert{
		{"RookeryNoRelay", `absent(rookery_queue_ready_jobs)`, "5m", page,
			"No relay has counted the queues for five minutes.",
			"No relay runs, or none reaches Postgres: `rookery doctor`. A service without any queue yet says this too."},
		{"RookeryRelayStalled", ready + " > 0\nand " + running + "\nunless " + dispatched + " > 0", "5m", page,
			"Jobs of queue {{ $labels.queue }} are due and none is handed out.",
			"The relays' logs (duty fails), Redis (rookery_relay_pushes_refused_total), or a window full of jobs that no worker finishes."},
		{"RookeryOldestJobTooOld", oldest + " > 600\nand " + running, "5m", page,
			"A job of queue {{ $labels.queue }} has been due for {{ $value | humanizeDuration }}.",
			"More workers, or quicker ones: compare rookery_worker_run_seconds with the backlog. Raise the limit for a queue that is meant to wait."},
		{"RookeryNoWorkers", "(" + ready + " + " + out + ") > 0\nand " + workers + " == 0\nand " + running, "5m", page,
			"Queue {{ $labels.queue }} has jobs and no worker.",
			"Start workers for it, or pause it."},
		{"RookeryRedisEvicts", evicted + " > 0", "", page,
			"Redis throws keys away: jobs have to be found again and run late.",
			"Set maxmemory-policy noeviction, and more memory or a smaller window."},
		{"RookerySpoolRefuses", `sum by (reason) (increase(rookery_spool_refused_requests_total[5m])) > 0`, "", page,
			"Jobs are refused at the HTTP API ({{ $labels.reason }}): neither Postgres nor the spool takes them.",
			"Bring Postgres back; a full spool has --spool-entries and --spool-bytes."},
		{"RookeryForgedJobs", `sum by (queue) (increase(rookery_worker_forged_total[15m])) > 0`, "", page,
			"Somebody who is no relay writes into queue {{ $labels.queue }} in Redis.",
			"Who has access to Redis? deploy/redis/users.acl, docs/security.md."},
		{"RookeryReconcileLag", lag + " > 5", "5m", ticket,
			"Outcomes wait for Postgres: p95 {{ $value | humanizeDuration }}.",
			"Postgres' load and locks, rookery_worker_reconcile_seconds, rookery_postgres_pool_waits_total."},
		{"RookeryOutcomesWait", `max by (instance) (min_over_time(rookery_worker_waiting_outcomes[5m])) > 500`, "", page,
			"A worker has had outcomes for Postgres for five minutes and cannot get rid of them.",
			"Is Postgres away? Outcomes are kept, and a worker that is restarted now runs its jobs again."},
		{"RookeryRedisAway", `max(rookery_relay_redis_away) == 1`, "1m", ticket,
			"No process reaches Redis: jobs go straight from Postgres to workers, slower.",
			"Bring Redis back; nothing else needs to be done."},
		{"RookeryDeadLettersRising", dead + " > 10", "", ticket,
			"{{ $value | humanize }} jobs of queue {{ $labels.queue }} died within 15 minutes.",
			"`rookery jobs list --status dead`, and redrive them once the cause is gone."},
		{"RookeryFailureRatio", failing + " / " + trying + " > 0.1\nand " + tried + " > 100", "5m", ticket,
			"{{ $value | humanizePercentage }} of the attempts of queue {{ $labels.queue }} fail.",
			"last_error of its jobs."},
		{"RookeryLeasesLost", leasesLost + " > 10", "", ticket,
			"Workers of queue {{ $labels.queue }} lost {{ $value | humanize }} leases within 15 minutes: jobs run twice.",
			"Workers that are starved of CPU, killed or frozen; a network that drops; handlers that eat all memory."},
		{"RookeryPoisonPill", `sum(increase(rookery_relay_returned_jobs_total{cause="poison"}[15m])) > 0`, "", ticket,
			"A job lost its worker four times and is dead.",
			"Its handler kills the process: the relay's log names the job."},
		{"RookeryLeakedSlots", `max by (instance) (rookery_worker_leaked_slots) > 0`, "10m", ticket,
			"A handler ignores the end of its context and keeps a slot.",
			"The worker's log names the job; only a restart gives the slot back."},
		{"RookerySpoolFilling", spooled + " > 0", "10m", ticket,
			"{{ $value | humanize }} requests have waited in the spool for ten minutes.",
			"Is Postgres away? They are inserted when it is back."},
		{"RookeryEndpointDisabled", `max by (queue) (rookery_push_disabled) == 1`, "", ticket,
			"The receiver of queue {{ $labels.queue }} has answered 410: its endpoint is disabled and the queue paused.",
			"`rookery webhooks list` says why; `rookery webhooks set` sets it again and resumes the queue."},
		{"RookeryAuditFound", `sum(increase(rookery_relay_audit_missing_total[1h])) + sum(increase(rookery_relay_stray_jobs_total[1h])) > 0`, "", ticket,
			"The audit found jobs that were nowhere, and brought them back.",
			"No job is lost, but this must not happen: please report it, with the relays' logs."},
	}
}
