package httpapi

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

const mimeProblem = "application/problem+json"

// edge stands around every handler: it names the request, keeps strangers out,
// turns errors and panics into problems, counts and logs.
func (s *Server) edge(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		r, header := c.Request(), c.Response().Header()
		header.Set(echo.HeaderXRequestID, requestID(r.Header.Values(echo.HeaderXRequestID)))
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")

		if err := s.pass(next, c); err != nil {
			s.fail(c, err)
		}

		route, status, took := s.routeLabel(c), c.Response().Status, time.Since(start)
		s.m.requests.WithLabelValues(methodLabel(r.Method), route, strconv.Itoa(status)).Inc()
		s.m.seconds.WithLabelValues(methodLabel(r.Method), route).Observe(took.Seconds())
		s.log.DebugContext(r.Context(), "http request", logMethod, methodLabel(r.Method), logRoute, route, logStatus, status,
			logSeconds, took.Seconds(), logClient, c.RealIP(), logRequestID, header.Get(echo.HeaderXRequestID))
		return nil
	}
}

// pass lets the request through to its handler if it may go there.
func (s *Server) pass(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if aborted, ok := v.(error); ok && errors.Is(aborted, http.ErrAbortHandler) {
			panic(v) // net/http's own way to drop a connection
		}
		p := problemOf(c.Request().Context(), fmt.Errorf("panic: %.1000v", v))
		p.stack = debug.Stack()
		err = p
	}()
	r, path := c.Request(), c.Path()
	if s.gate.open(r.Method, path) || s.ownsDoor(path) {
		return next(c)
	}
	who, p := s.entitled(c)
	if p == nil && s.rates != nil && who.own() {
		if wait := s.rates.take(who.Name, time.Now()); wait > 0 {
			p = tooMany(fmt.Sprintf("a key may make %g requests a second", s.o.Rate), wait)
		}
	}
	if p != nil {
		return p
	}
	c.SetRequest(withCaller(r, caller{principal: who, requestID: c.Response().Header().Get(echo.HeaderXRequestID), ip: plainIP(c.RealIP())}))
	return next(c)
}

// entitled returns who asks, or the problem that keeps them from the route. A request that
// is served for long may be asked about again.
func (s *Server) entitled(c echo.Context) (Principal, *problem) {
	r := c.Request()
	who, p := s.guard.check(r.Context(), r)
	if p == nil {
		p = s.gate.check(who, r.Method, c.Path())
	}
	return who, p
}

// fail answers with the problem that err is, and logs it if somebody has to know.
func (s *Server) fail(c echo.Context, err error) {
	p := s.problemOf(c, err)
	header := c.Response().Header()
	p.RequestID = header.Get(echo.HeaderXRequestID)
	s.logProblem(c, p)
	if c.Response().Committed {
		return // too late to say anything; the log has it
	}
	if p.retryAfter > 0 {
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(p.retryAfter))
	}
	if p.authenticate != "" {
		header.Set(echo.HeaderWWWAuthenticate, p.authenticate)
	}
	body, _ := encode(p)                    // strings and numbers: cannot fail
	_ = c.Blob(p.Status, mimeProblem, body) // a client that is gone is no fault of ours
}

// problemOf also knows what the router says.
func (s *Server) problemOf(c echo.Context, err error) *problem {
	switch {
	case errors.Is(err, echo.ErrNotFound):
		return newProblem(http.StatusNotFound, codeNotFound, "there is no such route")
	case errors.Is(err, echo.ErrMethodNotAllowed):
		return newProblem(http.StatusMethodNotAllowed, codeMethodNotAllowed, "the route does not have this method; Allow lists those it has")
	}
	return problemOf(c.Request().Context(), err)
}

func (s *Server) logProblem(c echo.Context, p *problem) {
	if p.cause == nil {
		return
	}
	level := slog.LevelDebug
	switch {
	case p.Status == http.StatusInternalServerError:
		level = slog.LevelError
	case p.Status >= 500, p.Status == http.StatusUnprocessableEntity:
		level = slog.LevelWarn
	}
	attrs := []any{logRequestID, p.RequestID, logMethod, methodLabel(c.Request().Method), logRoute, s.routeLabel(c), logStatus, p.Status, logError, p.cause}
	if p.stack != nil {
		attrs = append(attrs, logStack, string(p.stack))
	}
	s.log.Log(c.Request().Context(), level, "request not served", attrs...)
}

// routeLabel returns the pattern of the request's route, or none: the router also
// sets a path for a method it does not have, and nothing else may become a label.
func (s *Server) routeLabel(c echo.Context) string {
	if path := c.Path(); s.gate.paths[path] {
		return path
	}
	return "none"
}

// requestID returns the client's own id for its request if it is one of 1 to 64
// letters, digits and ._-, and else a new one.
func requestID(given []string) string {
	if len(given) == 1 && validRequestID(given[0]) {
		return given[0]
	}
	return rand.Text()
}

func validRequestID(id string) bool {
	for _, c := range []byte(id) {
		if c != '.' && c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= 64
}
