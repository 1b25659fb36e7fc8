// Package observability is the one source of Rookery's alerts and of its Grafana
// dashboard: alerts.yml and dashboard.json are written from it by `go generate`, and a
// test holds them equal. Expressions that both use are constants, so that a panel
// shows what its alert watches.
//
// What an alert does is tested by Prometheus itself, in alerts_test.yml, with
// `make alerts`; that every metric exists, by a test against docs/metrics.md.
package observability

//go:generate go run ./gen
