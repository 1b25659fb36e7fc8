package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Paths of the routes of endpoints.
const (
	routeEndpoint       = "/v1/queues/:name/endpoint"
	routeEndpointTest   = "/v1/queues/:name/endpoint/test"
	routeEndpointRotate = "/v1/queues/:name/endpoint/rotate"
)

// endpointRoutes adds what [Endpoints] can do.
func (s *Server) endpointRoutes(e *echo.Echo) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, routeEndpoint, s.read(s.getEndpoint))
	}
	e.PUT(routeEndpoint, s.write(s.putEndpoint))
	e.DELETE(routeEndpoint, s.act(s.deleteEndpoint))
	e.POST(routeEndpointTest, s.act(s.testEndpoint))
	e.POST(routeEndpointRotate, s.act(s.rotateEndpoint))
}
