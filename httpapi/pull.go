package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/penguinmails/rookery/job"
)

// Puller hands jobs to workers that ask for them over HTTP. Its errors are those that
// package job names of leases, and those of Postgres.
type Puller interface {
	// Run hands out jobs until ctx ends; then it lets clients finish for a while.
	// Requests are served until it has returned.
	Run(ctx context.Context) error
	// Lease waits for jobs; none is an answer too. After an error nothing is leased.
	Lease(ctx context.Context, r job.LeaseRequest) ([]job.LeasedJob, error)
	// Settle does what a client wants with a lease; once it returns Postgres has it.
	Settle(ctx context.Context, op job.LeaseOp) (job.LeaseResult, error)
	// Beat extends leases and says which are over, and whether the client is to be quiet.
	Beat(ctx context.Context, by job.Caller, leases []job.LeaseKey) (job.LeaseReport, error)
}

const (
	routeLease      = "/v1/queues/:name/lease"
	routeLeaseBatch = "/v1/leases/batch"
	routeBeat       = "/v1/workers/:id/heartbeat"
)

// routeOf returns the route of a verb.
func routeOf(v job.LeaseVerb) string { return "/v1/leases/:id/" + string(v) }

// leaseVerbs are the verbs in the order of the docs.
func leaseVerbs() []job.LeaseVerb {
	return []job.LeaseVerb{job.LeaseAck, job.LeaseNack, job.LeaseExtend, job.LeaseRelease}
}

// pullRoutes adds what [Puller] can do.
func (s *Server) pullRoutes(e *echo.Echo) {
	e.POST(routeLease, s.leaseJobs)
	e.POST(routeLeaseBatch, s.write(s.settleLeases))
	e.POST(routeBeat, s.write(s.beatLeases))
	for _, verb := range leaseVerbs() {
		e.POST(routeOf(verb), s.write(func(ctx context.Context, r request) (answer, error) {
			return s.settleLease(ctx, r, verb)
		}))
	}
}

// leaseList is the answer to a request for jobs.
type leaseList struct {
	Jobs []job.LeasedJob `json:"jobs"`
}

// leaseJobs answers POST /v1/queues/{name}/lease. When the answer cannot be written its
// jobs go back: part of it may have arrived, so through Postgres, which changes their
// fence.
func (s *Server) leaseJobs(c echo.Context) error {
	var leased []job.LeasedJob
	err := s.write(func(ctx context.Context, r request) (answer, error) {
		l, err := s.leaseRequest(ctx, r)
		if err != nil {
			return answer{}, err
		}
		if leased, err = s.o.Pull.Lease(ctx, l); err != nil {
			return answer{}, leaseProblem(err)
		}
		if leased == nil {
			leased = []job.LeasedJob{}
		}
		return answer{status: http.StatusOK, body: leaseList{leased}}, nil
	})(c)
	if err == nil || len(leased) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), queryTimeout)
	defer cancel()
	for _, j := range leased {
		// What fails is left to the lease, which ends.
		_, _ = s.o.Pull.Settle(ctx, job.LeaseOp{Verb: job.LeaseRelease, LeaseKey: job.LeaseKey{ID: j.LeaseID, Token: j.LeaseToken}})
	}
	return err
}

func (s *Server) leaseRequest(ctx context.Context, r request) (job.LeaseRequest, error) {
	l, err := decodeLease(r.body)
	if err != nil {
		return l, err
	}
	l.Caller = s.pullCaller(ctx, l.WorkerID)
	if l.QueueName = r.name; job.CheckQueueName(r.name) != nil {
		return l, invalidParameter("name", "must be a queue's: 1 to 100 letters, digits and _ . : -")
	}
	if err := r.allow(); err != nil {
		return l, err
	}
	return l, s.needQueue(ctx, r.name)
}

// leaseAnswer is the answer to what was done with a lease.
type leaseAnswer struct {
	Status    job.Status `json:"status,omitempty"`
	ExpiresAt *time.Time `json:"lease_expires_at,omitempty"`
}

func answerTo(r job.LeaseResult) leaseAnswer {
	a := leaseAnswer{Status: r.Status}
	if !r.ExpiresAt.IsZero() {
		a.ExpiresAt = &r.ExpiresAt
	}
	return a
}

// settleLease answers POST /v1/leases/{id}/{verb}.
func (s *Server) settleLease(ctx context.Context, r request, verb job.LeaseVerb) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	op, err := decodeSettle(r.body, verb)
	if err != nil {
		return answer{}, err
	}
	op.ID = r.id
	if err := s.needLease(ctx, op.ID); err != nil {
		return answer{}, err
	}
	result, err := s.o.Pull.Settle(ctx, op)
	if err != nil {
		return answer{}, leaseProblem(err)
	}
	return answer{status: http.StatusOK, body: answerTo(result)}, nil
}

// opAnswer is what came of one operation of a batch: a result, or a problem's code.
type opAnswer struct {
	LeaseID string `json:"lease_id"`
	leaseAnswer
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// settleLeases answers POST /v1/leases/batch: 200, and for each operation in its order
// what alone it would have been answered with. They are done beside one another.
func (s *Server) settleLeases(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	ops, err := decodeOps(r.body)
	if err != nil {
		return answer{}, err
	}
	out := make([]opAnswer, len(ops))
	done := make(chan int)
	for i := range ops {
		go func() { // ends with ctx, or within Settle's time
			out[i] = s.settleOne(ctx, ops[i])
			done <- i
		}()
	}
	for range ops {
		<-done
	}
	return answer{status: http.StatusOK, body: map[string][]opAnswer{"results": out}}, nil
}

func (s *Server) settleOne(ctx context.Context, op job.LeaseOp) opAnswer {
	err := s.needLease(ctx, op.ID)
	if err == nil {
		var result job.LeaseResult
		if result, err = s.o.Pull.Settle(ctx, op); err == nil {
			return opAnswer{LeaseID: op.ID, leaseAnswer: answerTo(result)}
		}
	}
	p := problemOf(ctx, leaseProblem(err))
	return opAnswer{LeaseID: op.ID, Code: p.Code, Detail: p.Detail}
}

// beatLeases answers POST /v1/workers/{id}/heartbeat.
func (s *Server) beatLeases(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	id, err := url.PathUnescape(r.id)
	if err != nil || checkWorker(id) != nil {
		return answer{}, invalidParameter("id", workerRule)
	}
	keys, err := decodeBeat(r.body)
	if err != nil {
		return answer{}, err
	}
	var seen []job.LeaseKey
	var hidden []string
	for _, k := range keys {
		if s.needLease(ctx, k.ID) == nil {
			seen = append(seen, k)
		} else {
			hidden = append(hidden, k.ID)
		}
	}
	report, err := s.o.Pull.Beat(ctx, s.pullCaller(ctx, id), seen)
	if err != nil {
		return answer{}, leaseProblem(err)
	}
	report.Lost = append(report.Lost, hidden...)
	return answer{status: http.StatusOK, body: report}, nil
}

// pullCaller is a client as a server knows it.
func (s *Server) pullCaller(ctx context.Context, worker string) job.Caller {
	by := s.actor(ctx)
	return job.Caller{WorkerID: worker, Principal: by.Principal, Address: by.IP}
}

// needLease returns a problem unless id is that of a lease of a queue that the caller may
// see. What they may not see is not there.
func (s *Server) needLease(ctx context.Context, id string) error {
	name, err := job.ParseLeaseID(id)
	if err != nil || !s.principal(ctx).Sees(name.QueueName) {
		return leaseProblem(job.ErrLeaseUnknown)
	}
	return nil
}

// leaseProblem makes problems of what can be wrong with a lease, and leaves other errors
// alone.
func leaseProblem(err error) error {
	var p *problem
	switch {
	case errors.Is(err, job.ErrLeaseUnknown):
		return newProblem(http.StatusNotFound, codeLeaseNotFound, "there is no such lease")
	case errors.Is(err, job.ErrLeaseLost):
		return newProblem(http.StatusConflict, codeLeaseLost, "the attempt is over, or the token is not that of the lease: drop what was done for it")
	case errors.Is(err, job.ErrLeaseElsewhere):
		return newProblem(http.StatusConflict, codeLeaseElsewhere, "another server holds the lease in Postgres, because Redis is away, and only that one can extend it; ack, nack and release are taken here too")
	case errors.Is(err, job.ErrNotRun):
		p = newProblem(http.StatusServiceUnavailable, codeNotRun, "this server hands out no jobs: the program that serves its handler does not run it (Run)")
	case errors.Is(err, job.ErrUnavailable):
		p = newProblem(http.StatusServiceUnavailable, codeUnavailable, "Postgres or Redis does not answer for now; ask the same again, of another server too")
	case errors.Is(err, job.ErrTooManyWaiters):
		p = newProblem(http.StatusTooManyRequests, codeTooManyWaiters, "so many requests wait for jobs here already; ask for more jobs at a time, with fewer requests")
	case errors.Is(err, job.ErrTooManyLeases):
		p = newProblem(http.StatusTooManyRequests, codeTooManyLeases, "this server has as many leases as it may; end some, or ask another server")
	case errors.Is(err, job.ErrTooManyQueues):
		p = newProblem(http.StatusTooManyRequests, codeTooManyQueues, "this server hands out jobs of as many queues as it may; ask another, or in a minute")
	default:
		return err
	}
	p.retryAfter = 1
	return p
}

const workerRule = "must be 1 to 200 bytes of UTF-8 without control characters"

func checkWorker(id string) error {
	if id == "" || len(id) > 200 || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return &wrongValueError{faultInvalid, workerRule}
	}
	return nil
}

// span reads a duration such as 30s, from low to high.
func span(raw []byte, low, high time.Duration) (time.Duration, error) {
	s, err := text(raw)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, &wrongValueError{faultFormat, "must be a duration such as 30s"}
	case d < low || d > high:
		return 0, &wrongValueError{faultRange, fmt.Sprintf("is %s, must be %s to %s", d, low, high)}
	}
	return d, nil
}
