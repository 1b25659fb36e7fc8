package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

// How long the parts of an answer may take.
const (
	insertTimeout = 10 * time.Second
	queryTimeout  = 5 * time.Second
	liveTimeout   = time.Second
)

// insertedJob is what the answer to an insert says of one job: what was decided,
// defaults included. What Postgres sets by itself is in the job's own document.
type insertedJob struct {
	ID          int64      `json:"id"`
	QueueName   string     `json:"queue_name"`
	Kind        string     `json:"kind"`
	Priority    int        `json:"priority"`
	Status      job.Status `json:"status"`
	MaxAttempts int        `json:"max_attempts"`
	RunAt       *time.Time `json:"run_at,omitempty"` // absent: at once
}

func newInsertedJob(id int64, s job.Spec, status job.Status) insertedJob {
	v := insertedJob{ID: id, QueueName: s.QueueName, Kind: s.Kind, Priority: *s.Priority, Status: status, MaxAttempts: s.MaxAttempts}
	if !s.RunAt.IsZero() {
		v.RunAt = &s.RunAt
	}
	return v
}

// insertJob answers POST /v1/jobs.
//
// Once the body is read, a client that hangs up does not call the insert off: a
// cancelled commit would leave open whether the job exists, and cost a connection.
func (s *Server) insertJob(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	spec, err := decodeJob(r.body, r.traceparent)
	if err != nil {
		return answer{}, err
	}
	if err := s.needQueue(ctx, spec.QueueName); err != nil {
		return answer{}, err
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
	defer cancel()
	in, err := s.admit(work, r, []job.Spec{spec}, func(ctx context.Context) (admitted, error) { return s.insertOne(ctx, spec) })
	if err != nil {
		return answer{}, insertProblem(ctx, "", err)
	}
	if in.spoolID != "" {
		return spooledAnswer(in.spoolID), nil
	}
	return answer{
		status:   http.StatusCreated,
		location: "/v1/jobs/" + strconv.FormatInt(in.ids[0], 10),
		body:     newInsertedJob(in.ids[0], spec, in.status),
		replayed: in.replayed,
	}, nil
}

// insertOne takes the express lane when it may and the lane agrees.
func (s *Server) insertOne(ctx context.Context, spec job.Spec) (admitted, error) {
	if s.o.Express != nil && urgent(spec, time.Now()) {
		id, handled, err := s.o.Express.Insert(ctx, spec)
		if err != nil {
			return admitted{}, fmt.Errorf("insert by express: %w", err)
		}
		if handled {
			s.m.inserted.WithLabelValues("express").Inc()
			return admitted{ids: []int64{id}, status: job.Dispatched}, nil
		}
	}
	return s.insert(ctx, []job.Spec{spec})
}

// urgent reports whether the express lane is to be asked: band high, and due. now
// is this process' clock, so only Postgres can say so for good.
func urgent(s job.Spec, now time.Time) bool {
	return *s.Priority <= job.HighMax && !s.RunAt.After(now)
}

// insert takes the ordinary way.
func (s *Server) insert(ctx context.Context, specs []job.Spec) (admitted, error) {
	ids, err := s.jobs.Insert(ctx, specs)
	if err != nil {
		return admitted{}, fmt.Errorf("insert: %w", err)
	}
	if len(ids) != len(specs) {
		return admitted{}, fmt.Errorf("insert: got %d ids for %d jobs", len(ids), len(specs))
	}
	s.m.inserted.WithLabelValues("ordinary").Add(float64(len(ids)))
	return admitted{ids: ids, status: job.Queued}, nil
}

// insertJobs answers POST /v1/jobs/batch: all or nothing, always the ordinary way.
func (s *Server) insertJobs(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	// White space after commas and colons makes no text longer than twice its length.
	decode, base := decodeJobs, "/jobs"
	if r.lines {
		decode, base = decodeLines, ""
	}
	specs, err := decode(r.body, r.traceparent, 2*int(s.o.MaxBody))
	if err != nil {
		return answer{}, err
	}
	for _, spec := range specs {
		if err := s.needQueue(ctx, spec.QueueName); err != nil {
			return answer{}, err
		}
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
	defer cancel()
	in, err := s.admit(work, r, specs, func(ctx context.Context) (admitted, error) { return s.insert(ctx, specs) })
	if err != nil {
		return answer{}, insertProblem(ctx, base, err)
	}
	if in.spoolID != "" {
		return spooledAnswer(in.spoolID), nil
	}
	var body struct {
		Jobs []insertedJob `json:"jobs"`
	}
	for i, id := range in.ids {
		body.Jobs = append(body.Jobs, newInsertedJob(id, specs[i], in.status))
	}
	return answer{status: http.StatusCreated, body: body, replayed: in.replayed}, nil
}

// jobDocument is the answer to GET /v1/jobs/{id}.
type jobDocument struct {
	job.Job
	Attempts []job.Attempt `json:"attempts"`
	Timeline []step        `json:"timeline"`
	Live     *job.Live     `json:"live"`
	LiveNote string        `json:"live_note,omitempty"` // why live is null
}

// getJob answers GET /v1/jobs/{id}. The payload is left out unless asked for with
// ?include=payload: it may be large, and hold what only few should see.
func (s *Server) getJob(ctx context.Context, r request) (answer, error) {
	if err := r.allow("include", "wait", "until"); err != nil {
		return answer{}, err
	}
	long, err := s.waitOf(r)
	if err != nil {
		return answer{}, err
	}
	withPayload := false
	for _, v := range r.query["include"] {
		if v != "payload" {
			return answer{}, invalidParameter("include", "must be payload")
		}
		withPayload = true
	}
	if withPayload {
		if err := s.need(ctx, job.ScopePayloadsRead); err != nil {
			return answer{}, err
		}
	}
	id, err := parseID(r.id)
	if err != nil {
		return answer{}, err
	}
	row, err := s.visibleJob(ctx, id)
	if err != nil {
		return answer{}, err
	}
	if row, err = s.awaitEnd(ctx, row, long); err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	attempts, err := s.jobs.Attempts(ctx, id)
	if err != nil {
		return answer{}, fmt.Errorf("read attempts: %w", err)
	}
	doc := jobDocument{Job: inUTC(row), Attempts: []job.Attempt{}}
	if !withPayload {
		doc.Payload = nil
	}
	for _, a := range attempts {
		a.StartedAt, a.FinishedAt = utc(a.StartedAt), a.FinishedAt.UTC()
		doc.Attempts = append(doc.Attempts, a)
	}
	doc.Timeline = timelineOf(doc.Job, doc.Attempts)
	doc.Live, doc.LiveNote = s.live(ctx, row)
	return answer{status: http.StatusOK, body: doc, tagged: true}, nil
}

// visibleJob returns a job that the caller may see.
func (s *Server) visibleJob(ctx context.Context, id int64) (job.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	row, err := s.jobs.JobOf(ctx, id, s.principal(ctx).Queues)
	if err != nil {
		return row, fmt.Errorf("read job: %w", err)
	}
	return row, nil
}

// live returns where the job is, or why that is not known.
func (s *Server) live(ctx context.Context, j job.Job) (*job.Live, string) {
	if state, ok := rowState(j, time.Now()); ok {
		return &job.Live{State: state}, ""
	}
	if s.o.Live == nil {
		return nil, "this server does not ask Redis"
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	live, err := s.o.Live.Live(ctx, j)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			s.log.WarnContext(ctx, "live status not known", logJobID, j.ID, logError, err)
		}
		return nil, "Redis does not answer for now"
	}
	live.LeaseEnds = utc(live.LeaseEnds)
	return &live, ""
}

// rowState returns the state that the row alone decides, and whether it does. now
// is this process' clock: for people, not for decisions.
func rowState(j job.Job, now time.Time) (string, bool) {
	switch j.Status {
	case job.Queued:
		switch {
		case !j.RunAt.After(now):
			return "ready", true
		case j.FailureCount > 0:
			return "retrying", true
		}
		return "scheduled", true
	case job.Completed, job.Dead, job.Cancelled:
		return string(j.Status), true
	case job.Dispatched, job.Running:
	}
	return "", false
}

// parseID reads a job's id as Location has it: no sign, no leading zero.
func parseID(s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 1 || s[0] == '+' || s[0] == '0' {
		return 0, invalidParameter("id", "must be a whole number from 1 to 9223372036854775807")
	}
	return id, nil
}

func inUTC(j job.Job) job.Job {
	j.RunAt, j.CreatedAt = j.RunAt.UTC(), j.CreatedAt.UTC()
	j.DispatchedAt, j.StartedAt, j.FinishedAt = utc(j.DispatchedAt), utc(j.StartedAt), utc(j.FinishedAt)
	return j
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
