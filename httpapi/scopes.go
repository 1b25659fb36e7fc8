package httpapi

import (
	"net/http"

	"github.com/penguinmails/rookery/job"
)

// Paths of routes that are named more than once.
const (
	routeLive  = "/livez"  // needs no key
	routeReady = "/readyz" // needs no key
	routeSpool = "/v1/spool/:id"
	routeKeys  = "/v1/keys"
	routeKey   = "/v1/keys/:id"
	routeAudit = "/v1/audit"

	routeEvents = "/v1/events"
	routeExport = "/v1/events/export"
	routeScaler = "/v1/stats/:name/scaler"

	routeOpenAPI = "/v1/openapi.json" // needs no key
	routeDocs    = "/v1/docs"         // needs no key
)

// route is a method and a path as the router has it. HEAD counts as GET.
type route struct{ method, path string }

// access is what a route takes.
type access struct {
	scope job.Scope // "": nothing, not even a key
	whole bool      // also a key that is for every queue: the answer is about all of them
	own   bool      // while a key is needed the UI finds out by itself who asks
	token bool      // no key: the handler asks for a callback's token
}

// routeAccess says what every route takes. A route that is not here takes
// [job.ScopeAdmin], and fails a test.
func routeAccess() map[route]access {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	reads := access{scope: job.ScopeJobsRead}
	writes := access{scope: job.ScopeJobsWrite}
	queues := access{scope: job.ScopeQueuesAdmin}
	pulls := access{scope: job.ScopeWorker} // each asks of which queue the lease is
	return map[route]access{
		{get, routeLive}:         {},
		{get, routeReady}:        {},
		{get, "/metrics"}:        {scope: job.ScopeJobsRead, whole: true}, // Prometheus keeps it whole, for whoever may query that
		{post, "/v1/jobs"}:       {scope: job.ScopeJobsWrite},
		{post, "/v1/jobs/batch"}: {scope: job.ScopeJobsWrite},
		{get, "/v1/jobs/:id"}:    {scope: job.ScopeJobsRead},
		{get, "/v1/queues"}:      {scope: job.ScopeJobsRead},
		{get, routeSpool}:        {scope: job.ScopeJobsRead},
		{get, routeKeys}:         {scope: job.ScopeAdmin},
		{post, routeKeys}:        {scope: job.ScopeAdmin},
		{del, routeKey}:          {scope: job.ScopeAdmin},
		{get, routeAudit}:        {scope: job.ScopeAdmin},
		{get, routeOpenAPI}:      {},
		{get, routeDocs}:         {},

		{get, routeUI}:     {scope: job.ScopeAdmin, own: true},
		{post, routeUI}:    {scope: job.ScopeAdmin, own: true},
		{get, routeUIBare}: {scope: job.ScopeAdmin, own: true},
		{get, routeRoot}:   {scope: job.ScopeAdmin, own: true},
		{get, routeStream}: {scope: job.ScopeAdmin, own: true},

		{get, "/v1/jobs"}:                 reads,
		{get, "/v1/queues/:name"}:         reads,
		{get, "/v1/workers"}:              reads,
		{get, "/v1/stats"}:                reads,
		{get, routeScaler}:                reads,
		{get, routeEvents}:                reads,
		{get, routeExport}:                reads,
		{post, "/v1/jobs/:id/cancel"}:     writes,
		{post, "/v1/jobs/:id/redrive"}:    writes,
		{post, "/v1/jobs/:id/clone"}:      writes,
		{del, "/v1/jobs/:id"}:             writes,
		{post, routeLease}:                pulls,
		{post, routeLeaseBatch}:           pulls,
		{post, routeBeat}:                 pulls,
		{post, "/v1/leases/:id/ack"}:      pulls,
		{post, "/v1/leases/:id/nack"}:     pulls,
		{post, "/v1/leases/:id/extend"}:   pulls,
		{post, "/v1/leases/:id/release"}:  pulls,
		{post, "/v1/queues/:name/pause"}:  queues,
		{post, "/v1/queues/:name/resume"}: queues,
		{patch, "/v1/queues/:name"}:       queues,

		{post, routeBulk}:               writes,
		{get, routeOperations}:          reads,
		{get, routeOperation}:           reads,
		{post, routeCancelOperation}:    writes,
		{post, routePurge}:              queues,
		{post, routeQuiet}:              {scope: job.ScopeQueuesAdmin, whole: true}, // it works for queues of others too
		{get, routeEndpoint}:            {scope: job.ScopeQueuesAdmin},
		{http.MethodPut, routeEndpoint}: {scope: job.ScopeQueuesAdmin},
		{del, routeEndpoint}:            {scope: job.ScopeQueuesAdmin},
		{post, routeEndpointTest}:       {scope: job.ScopeQueuesAdmin},
		{post, routeEndpointRotate}:     {scope: job.ScopeQueuesAdmin},
		{post, routeCallbackComplete}:   {token: true},
		{post, routeCallbackFail}:       {token: true},
		{post, routeCallbackExtend}:     {token: true},
	}
}

// gate lets a principal through to the routes that it has the scopes for.
type gate struct {
	table map[route]access
	there map[route]bool // what the router has; the rest it answers with 404 or 405
	paths map[string]bool
}

// newGate returns the gate before the routes that the router has.
func newGate(routes []route) gate {
	g := gate{table: routeAccess(), there: map[route]bool{}, paths: map[string]bool{}}
	for _, r := range routes {
		g.there[r], g.paths[r.path] = true, true
	}
	return g
}

// open reports whether a route is for everybody, without a key.
func (g gate) open(method, path string) bool {
	a, listed := g.table[asGet(method, path)]
	return listed && a.scope == "" && g.there[route{method, path}]
}

// check returns nil, or the problem that keeps p from a route.
func (g gate) check(p Principal, method, path string) *problem {
	if !g.there[route{method, path}] {
		return nil
	}
	a, listed := g.table[asGet(method, path)]
	if !listed {
		a.scope = job.ScopeAdmin
	}
	switch {
	case !p.May(a.scope):
		return forbidden(a.scope)
	case a.whole && len(p.Queues) > 0:
		return newProblem(http.StatusForbidden, codeForbidden, "this route takes a key that is for every queue, and the key is for some only")
	}
	return nil
}

func asGet(method, path string) route {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return route{method, path}
}
