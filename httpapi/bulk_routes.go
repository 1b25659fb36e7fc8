package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Paths of the routes.
const (
	routeBulk            = "/v1/jobs/bulk"
	routePurge           = "/v1/queues/:name/purge"
	routeOperations      = "/v1/operations"
	routeOperation       = "/v1/operations/:id"
	routeCancelOperation = "/v1/operations/:id/cancel"
	routeQuiet           = "/v1/workers/:id/quiet"
)

// bulkRoutes adds what [Bulk] can do.
func (s *Server) bulkRoutes(e *echo.Echo) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, routeOperations, s.read(s.listOperations))
		e.Add(method, routeOperation, s.read(s.getOperation))
	}
	e.POST(routeBulk, s.write(s.bulk))
	e.POST(routePurge, s.write(s.purgeQueue))
	e.POST(routeCancelOperation, s.act(s.cancelOperation))
}
