package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// The routes of the dashboard. The stream has a line of its own in the metrics: it
// lasts for minutes.
const (
	routeUI     = "/ui/*"
	routeUIBare = "/ui"
	routeRoot   = "/"
	routeStream = "/ui/stream"
)

// routesUI lets the dashboard answer everything below /ui/.
func (s *Server) routesUI(e *echo.Echo) {
	h := echo.WrapHandler(s.ui)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		e.Add(method, routeUI, h)
	}
	e.GET(routeStream, h)
	for _, bare := range []string{routeRoot, routeUIBare} {
		e.GET(bare, func(c echo.Context) error { return c.Redirect(http.StatusPermanentRedirect, "/ui/") })
	}
}

// ownsDoor reports whether a route finds out by itself who asks. Without keys whoever
// is on this machine may come in, and that is for the guard to see.
func (s *Server) ownsDoor(path string) bool {
	return s.guard.closed && s.gate.table[route{http.MethodGet, path}].own
}
