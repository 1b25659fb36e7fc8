// Package workers has workers that are no Go programs: each leases jobs over HTTP, as
// docs/pull-workers.md tells, in at most 50 lines and with nothing to install but its
// language. Its test runs each against a real server.
package workers
