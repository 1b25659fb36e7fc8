package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/penguinmails/rookery/job"
)

// Callbacks takes what receivers of push workers say after they have answered. Its
// errors are those of leases that package job names, [job.ErrCallbackToken], and those
// of Postgres.
type Callbacks interface {
	// Open reads a receiver's token.
	Open(ctx context.Context, token string) (job.Callback, error)
	// Settle does what a receiver wants with its attempt; once it returns Postgres has it.
	Settle(ctx context.Context, c job.Callback, op job.LeaseOp) (job.LeaseResult, error)
}

// Paths of the routes that a receiver calls back on. They need no key: the token says
// which attempt may be settled.
const (
	routeCallbackComplete = "/v1/callback/complete"
	routeCallbackFail     = "/v1/callback/fail"
	routeCallbackExtend   = "/v1/callback/extend"
)

// maxCallbackBody is for an error's text.
const maxCallbackBody = 64 << 10

// callbackRoutes adds what [Callbacks] can do.
func (s *Server) callbackRoutes(e *echo.Echo) {
	e.POST(routeCallbackComplete, s.callback(job.LeaseAck))
	e.POST(routeCallbackFail, s.callback(job.LeaseNack))
	e.POST(routeCallbackExtend, s.callback(job.LeaseExtend))
}

// callback serves what is said by verb. The token comes first: a stranger's body is not
// read. It is good for a day, also when its attempt is over, and needs no key: so each
// attempt has a rate of its own.
func (s *Server) callback(verb job.LeaseVerb) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.o.ReadOnly {
			return readOnly()
		}
		r, err := newRequest(c)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), queryTimeout)
		defer cancel()
		back, err := s.o.Callbacks.Open(ctx, tokenOf(c.Request()))
		if err != nil {
			return callbackProblem(err)
		}
		// After Open: only who has a token gets a bucket.
		if wait := s.calls.take(fmt.Sprintf("%d/%d", back.Ref.ID, back.Ref.DispatchID), time.Now()); wait > 0 {
			return tooMany(fmt.Sprintf("%d callbacks a second may come about one attempt", callbackRate), wait)
		}
		if verb != job.LeaseAck || c.Request().ContentLength != 0 { // -1 where only reading tells
			if r.body, err = readBody(c.Response(), c.Request(), maxCallbackBody); err != nil {
				return err
			}
		}
		return send(c, r, func(_ context.Context, r request) (answer, error) { return s.settleCallback(ctx, r, back, verb) })
	}
}

func (s *Server) settleCallback(ctx context.Context, r request, back job.Callback, verb job.LeaseVerb) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	op := job.LeaseOp{Verb: verb}
	if verb != job.LeaseAck || len(r.body) > 0 {
		var err error
		if op, err = decodeCallback(r.body, verb); err != nil {
			return answer{}, err
		}
	}
	result, err := s.o.Callbacks.Settle(ctx, back, op)
	if err != nil {
		return answer{}, callbackProblem(err)
	}
	return answer{status: http.StatusOK, body: answerTo(result)}, nil
}

// decodeCallback reads what [decodeSettle] does, without the token.
func decodeCallback(body []byte, verb job.LeaseVerb) (job.LeaseOp, error) {
	op := job.LeaseOp{Verb: verb}
	d, p := newDocument(body)
	if p != nil {
		return op, p
	}
	var needs []string
	switch verb {
	case job.LeaseNack:
		needs = []string{"error"}
	case job.LeaseExtend:
		needs = []string{"lease"}
	case job.LeaseAck, job.LeaseRelease:
	}
	d.fields("this callback", needs, func(name string, raw []byte) (bool, error) {
		if name == "lease_token" { // it is in the header
			return false, nil
		}
		return d.opMember(name, raw, &op)
	})
	return op, d.problem(codeInvalidRequest)
}

// tokenOf returns the bearer token of a request, or "".
func tokenOf(r *http.Request) string {
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// callbackProblem makes problems of what can be wrong with a callback, and leaves other
// errors alone.
func callbackProblem(err error) error {
	switch {
	case errors.Is(err, job.ErrCallbackToken):
		p := newProblem(http.StatusUnauthorized, codeUnauthorized, "send the callback's token as Authorization: Bearer <token>; it is not one, or it has expired")
		p.authenticate = `Bearer realm="rookery callback"`
		return p
	case errors.Is(err, job.ErrLeaseLost):
		return newProblem(http.StatusConflict, codeLeaseLost, "the attempt is over: drop what was done for it; if the job is not, it comes again")
	}
	return err
}
