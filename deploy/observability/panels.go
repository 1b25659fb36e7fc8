package observability

// row is a line of the dashboard with a title; its panels share the width.
type row struct {
	title  string
	panels []panel
}

// panel is one chart.
type panel struct {
	title, means string
	unit         string // Grafana's: s, ops, bytes, percentunit, short
	lines        []line
}

// line is one query of a chart; queue by queue when its legend says so.
type line struct{ expr, legend string }

const byQueue = "{{queue}}"

// quantiles are three lines of one histogram, of the queues that are chosen when it
// has them.
func quantiles(histogram, labels string) []line {
	q := func(share, name string) line {
		return line{`histogram_quantile(` + share + `, sum by (le) (rate(` + histogram + `_bucket` + labels + `[$__rate_interval])))`, name}
	}
	return []line{q("0.5", "p50"), q("0.95", "p95"), q("0.99", "p99")}
}

// chosen limits a metric to the queues that the dashboard's variable names.
const chosen = `{queue=~"$queue"}`

func rows() []row {
	return []row{
		{"Queues", []panel{
			{"Ready", "Due jobs that wait in Postgres.", "short", []line{{`max by (queue) (rookery_queue_ready_jobs` + chosen + `)`, byQueue}}},
			{"Oldest", "How long the oldest due job has waited. Its alert: RookeryOldestJobTooOld.", "s", []line{{`max by (queue) (rookery_queue_oldest_seconds` + chosen + `)`, byQueue}}},
			{"Out", "Jobs in Redis or running.", "short", []line{{`max by (queue) (rookery_queue_out_jobs` + chosen + `)`, byQueue}}},
			{"Workers", "Processes that take from the queue. Its alert: RookeryNoWorkers.", "short", []line{{`max by (queue) (rookery_queue_workers` + chosen + `)`, byQueue}}},
		}},
		{"Throughput", []panel{
			{"Dispatched", "Jobs handed to Redis. Its alert: RookeryRelayStalled.", "ops", []line{{`sum by (queue) (rate(rookery_relay_dispatched_jobs_total` + chosen + `[$__rate_interval]))`, byQueue}}},
			{"Attempts by outcome", "What Postgres made of them; stale ones were refused by the fence.", "ops",
				[]line{{`sum by (outcome) (rate(rookery_worker_attempts_total` + chosen + `[$__rate_interval]))`, "{{outcome}}"}}},
			{"Failure ratio", "Its alert: RookeryFailureRatio.", "percentunit", []line{{failing + " / " + trying, byQueue}}},
			{"Dead within 15 minutes", "Its alert: RookeryDeadLettersRising.", "short", []line{{dead, byQueue}}},
		}},
		{"Latency", []panel{
			{"Due → claimed", "By Postgres' clock.", "s", quantiles("rookery_relay_due_seconds", chosen)},
			{"Dispatched → started", "Push, the wait in Redis, take.", "s", quantiles("rookery_worker_dispatch_seconds", chosen)},
			{"Started → completed", "The handler, and the way to Postgres.", "s", quantiles("rookery_worker_complete_seconds", chosen)},
			{"Due → completed", "All of it.", "s", quantiles("rookery_worker_total_seconds", chosen)},
		}},
		{"Relays", []panel{
			{"Claim and push", "p95 of one call.", "s", []line{
				{`histogram_quantile(0.95, sum by (le) (rate(rookery_relay_claim_seconds_bucket[$__rate_interval])))`, "claim"},
				{`histogram_quantile(0.95, sum by (le) (rate(rookery_relay_push_seconds_bucket[$__rate_interval])))`, "push"},
			}},
			{"Taken back", "Attempts without an outcome.", "ops", []line{{`sum by (cause) (rate(rookery_relay_returned_jobs_total[$__rate_interval]))`, "{{cause}}"}}},
			{"Failing duties", "", "ops", []line{{`sum by (duty) (rate(rookery_relay_failures_total[$__rate_interval])) > 0`, "{{duty}}"}}},
			{"Audit and repairs", "Missing and stray must stay 0. Their alert: RookeryAuditFound.", "short", []line{
				{`sum(increase(rookery_relay_audit_missing_total[1h]))`, "missing"},
				{`sum(increase(rookery_relay_stray_jobs_total[1h]))`, "stray"},
				{`sum(increase(rookery_relay_recovered_batches_total[1h]))`, "batches recovered"},
				{`sum(increase(rookery_relay_epochs_total[1h]))`, "epochs"},
			}},
		}},
		{"Workers", []panel{
			{"Slots", "", "short", []line{
				{`sum(rookery_worker_slots)`, "slots"}, {`sum(rookery_worker_running_jobs)`, "running"}, {`sum(rookery_worker_leaked_slots)`, "leaked"},
			}},
			{"Handlers, p95", "", "s", []line{{`histogram_quantile(0.95, sum by (le, queue, kind) (rate(rookery_worker_run_seconds_bucket` + chosen + `[$__rate_interval])))`, "{{queue}} {{kind}}"}}},
			{"Outcomes that wait", "p95 of the lag. Its alert: RookeryReconcileLag.", "s", []line{{lag, "lag"}}},
			{"Leases lost within 15 minutes", "Its alert: RookeryLeasesLost.", "short", []line{{leasesLost, byQueue}}},
		}},
		{"Storage", []panel{
			{"Redis memory", "", "bytes", []line{{`max(rookery_redis_used_memory_bytes)`, "used"}, {`max(rookery_redis_max_memory_bytes) > 0`, "limit"}}},
			{"Keys evicted", "Must stay 0. Its alert: RookeryRedisEvicts.", "short", []line{{evicted, "evicted"}}},
			{"Postgres connections", "", "short", []line{{`sum by (pool, state) (rookery_postgres_pool_connections)`, "{{pool}} {{state}}"}}},
			{"Waits for a connection", "", "ops", []line{
				{`sum by (pool) (rate(rookery_postgres_pool_waits_total[$__rate_interval]))`, "Postgres {{pool}}"},
				{`sum(rate(rookery_redis_pool_timeouts_total[$__rate_interval]))`, "Redis, given up"},
			}},
		}},
		{"HTTP", []panel{
			{"Requests", "", "ops", []line{{`sum by (status) (rate(rookery_http_requests_total[$__rate_interval]))`, "{{status}}"}}},
			{"Latency", "", "s", quantiles("rookery_http_request_seconds", "")},
			{"Jobs inserted", "", "ops", []line{{`sum by (lane) (rate(rookery_http_inserted_jobs_total[$__rate_interval]))`, "{{lane}}"}}},
			{"Spool", "Requests that wait for Postgres. Its alert: RookerySpoolFilling.", "short", []line{{spooled, "waiting"}}},
		}},
	}
}
