package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// adminRoutes adds what [Admin] can do.
func (s *Server) adminRoutes(e *echo.Echo) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, "/v1/jobs", s.read(s.listJobs))
		e.Add(method, "/v1/queues/:name", s.read(s.getQueue))
		e.Add(method, "/v1/workers", s.read(s.listWorkers))
		e.Add(method, "/v1/stats", s.read(s.getStats))
		e.Add(method, routeScaler, s.read(s.getScaler))
	}
	e.POST("/v1/jobs/:id/cancel", s.act(s.cancelJob))
	e.POST("/v1/jobs/:id/redrive", s.act(s.redriveJob))
	e.POST("/v1/jobs/:id/clone", s.act(s.cloneJob))
	e.DELETE("/v1/jobs/:id", s.act(s.deleteJob))
	e.POST("/v1/queues/:name/pause", s.act(s.pauseQueue))
	e.POST("/v1/queues/:name/resume", s.act(s.resumeQueue))
	e.PATCH("/v1/queues/:name", s.write(s.patchQueue))
}

// act serves h to requests that change something and say it all in their path. They
// may have a body, {}, for clients that cannot do without.
func (s *Server) act(h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.o.ReadOnly {
			return readOnly()
		}
		r, err := newRequest(c)
		if err != nil {
			return err
		}
		if c.Request().ContentLength != 0 { // -1 where only reading tells
			body, err := readBody(c.Response(), c.Request(), s.o.MaxBody)
			if err != nil {
				return err
			}
			if err := emptyObject(body); err != nil {
				return err
			}
		}
		return send(c, r, h)
	}
}

// emptyObject returns a problem when body holds something: an option that this
// version does not know must not be overlooked in silence.
func emptyObject(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	d, p := newDocument(body)
	if p != nil {
		return p
	}
	if d.is('{') {
		d.object(func(string) {
			d.raw()
			d.fault(faultUnknown, "is not a field of this request, which has none")
		})
	}
	return d.problem(codeInvalidRequest)
}
