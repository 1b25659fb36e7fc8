package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// request is what a handler needs of an HTTP request.
type request struct {
	id, name    string // of the path
	query       url.Values
	traceparent string
	idemKeys    []string // the Idempotency-Key headers
	ifNoneMatch []string // the If-None-Match headers
	body        []byte   // nil for GET
	lines       bool     // the body is of mimeLines
}

// allow returns a problem when the query has another parameter than names: a
// misspelt one must not be overlooked in silence.
func (r request) allow(names ...string) error {
	for name := range r.query {
		if !slices.Contains(names, name) {
			return invalidParameter(cut(name, maxField), "is not a parameter of this route")
		}
	}
	return nil
}

// answer is what a handler wants to be sent: body as JSON.
type answer struct {
	status   int
	location string
	body     any  // nil: none
	replayed bool // an earlier request with the same Idempotency-Key was answered with this
	tagged   bool // with an ETag, for If-None-Match
}

// handler is a route's logic. Its errors become problems.
type handler func(ctx context.Context, r request) (answer, error)

// routes builds the router. The files named …routes.go, openapi.go and
// edge.go are all that knows of echo: no
// binder, no middleware of its, and above all none that believes what a client
// says in X-Forwarded-For or X-HTTP-Method-Override.
func (s *Server) routes() http.Handler {
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.IPExtractor = echo.ExtractIPDirect()
	e.SchemeExtractor = func(r *http.Request) string {
		if r.TLS != nil {
			return "https"
		}
		return "http"
	}
	e.HTTPErrorHandler = func(err error, c echo.Context) { s.fail(c, err) }
	e.Use(s.edge)

	e.POST("/v1/jobs", s.write(s.insertJob))
	e.POST("/v1/jobs/batch", s.write(s.insertJobs, mimeLines))
	metrics := echo.WrapHandler(promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, "/v1/jobs/:id", s.read(s.getJob))
		e.Add(method, "/v1/queues", s.read(s.listQueues))
		if s.o.Spool != nil {
			e.Add(method, routeSpool, s.read(s.getSpool))
		}
		if s.o.KeyAdmin != nil {
			e.Add(method, routeKeys, s.read(s.listKeys))
		}
		if s.o.Audit != nil {
			e.Add(method, routeAudit, s.read(s.listAudit))
		}
		e.Add(method, "/metrics", metrics)
		e.Add(method, routeLive, s.livez)
		e.Add(method, routeReady, s.readyz)
	}
	if s.o.KeyAdmin != nil {
		e.POST(routeKeys, s.write(s.createKey))
		e.DELETE(routeKey, s.read(s.revokeKey))
	}
	if s.o.Admin != nil {
		s.adminRoutes(e)
	}
	if s.o.Bulk != nil {
		s.bulkRoutes(e)
	}
	if s.o.Workers != nil {
		e.POST(routeQuiet, s.write(s.quietWorker))
	}
	if s.o.Endpoints != nil {
		s.endpointRoutes(e)
	}
	if s.o.Events != nil {
		s.eventRoutes(e)
	}
	if s.o.Pull != nil {
		s.pullRoutes(e)
	}
	if s.o.Callbacks != nil {
		s.callbackRoutes(e)
	}
	s.docRoutes(e)
	if s.ui != nil {
		s.routesUI(e)
	}
	var all []route
	for _, r := range e.Routes() {
		all = append(all, route{r.Method, r.Path})
	}
	s.gate = newGate(all)
	return e
}

func (s *Server) livez(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

func (s *Server) readyz(c echo.Context) error {
	report := s.health.report(c.Request().Context())
	status := http.StatusOK
	if !report.Ready {
		status = http.StatusServiceUnavailable
	}
	body, err := encode(report)
	if err != nil {
		return err
	}
	return c.Blob(status, echo.MIMEApplicationJSON, body)
}

// read serves h to requests without a body.
func (s *Server) read(h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, err := newRequest(c)
		if err != nil {
			return err
		}
		return send(c, r, h)
	}
}

// write serves h to requests with a body that insert or change something: JSON, or what
// else h reads.
func (s *Server) write(h handler, more ...string) echo.HandlerFunc {
	kinds := append([]string{echo.MIMEApplicationJSON}, more...)
	return func(c echo.Context) error {
		if s.o.ReadOnly {
			return readOnly()
		}
		r, err := newRequest(c)
		if err != nil {
			return err
		}
		var kind string
		if r.body, kind, err = readBodyOf(c.Response(), c.Request(), s.o.MaxBody, kinds...); err != nil {
			return err
		}
		r.lines = kind == mimeLines
		return send(c, r, h)
	}
}

func newRequest(c echo.Context) (request, error) {
	in := c.Request()
	query, err := url.ParseQuery(in.URL.RawQuery)
	if err != nil {
		return request{}, newProblem(http.StatusBadRequest, codeInvalidParameter, "the query cannot be read")
	}
	r := request{id: c.Param("id"), query: query, idemKeys: in.Header.Values("Idempotency-Key"), ifNoneMatch: in.Header.Values("If-None-Match")}
	if r.name, err = url.PathUnescape(c.Param("name")); err != nil { // a queue's colon may come as %3A
		return request{}, invalidParameter("name", "cannot be read")
	}
	if t := in.Header.Values("Traceparent"); len(t) == 1 {
		r.traceparent = t[0]
	}
	return r, nil
}

func send(c echo.Context, r request, h handler) error {
	ans, err := h(c.Request().Context(), r)
	if err != nil {
		return err
	}
	if ans.body == nil {
		return c.NoContent(ans.status)
	}
	body, err := encode(ans.body)
	if err != nil {
		return err
	}
	if ans.replayed {
		c.Response().Header().Set("Idempotency-Replayed", "true")
	}
	if ans.tagged && tag(c.Response().Header(), r.ifNoneMatch, body) {
		return c.NoContent(http.StatusNotModified)
	}
	if ans.location != "" {
		c.Response().Header().Set(echo.HeaderLocation, ans.location)
	}
	return c.Blob(ans.status, echo.MIMEApplicationJSON, body)
}

// tag sets the ETag of body and reports whether the client has that already,
// https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2. Our tags have no commas.
func tag(header http.Header, ifNoneMatch []string, body []byte) bool {
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	header.Set("ETag", etag)
	for _, line := range ifNoneMatch {
		for known := range strings.SplitSeq(line, ",") {
			if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == etag || known == "*" {
				return true
			}
		}
	}
	return false
}

// encode returns v as JSON with a newline. Characters that mean something in HTML
// stay as they are: nosniff keeps browsers from reading the answer as such.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}
