package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

const (
	spoolTimeout = 2 * time.Second // of one call to the spool
	detourPause  = time.Second     // how long Postgres is not asked after it did not answer
	maxIdemKey   = 255             // characters
)

// admitted is what became of a request's jobs: inserted, now or replayed, or, with a
// spoolID, spooled.
type admitted struct {
	ids      []int64
	status   job.Status
	replayed bool
	spoolID  string
}

// admit inserts specs by plain, or keeps them in the spool while Postgres is away,
// when there is one.
//
// What may be spooled is what Postgres is known not to have, or will know again. A
// request without an Idempotency-Key pays for no key row, so it is spooled only
// when its insert was never sent or was refused; when its outcome is not known (the
// connection broke, or no answer came, after it was sent) it is answered with 503,
// as without a spool: the commit may have been the last thing Postgres did. A
// request with an Idempotency-Key is inserted together with its key's row in one
// transaction. Its spooled copy has the same key, so that it inserts nothing when
// the first did commit, and when that is still under way waits for its end: such a
// request is spooled whatever became of its insert.
func (s *Server) admit(ctx context.Context, r request, specs []job.Spec, plain func(context.Context) (admitted, error)) (admitted, error) {
	if s.o.Keyed == nil || s.o.Spool == nil && len(r.idemKeys) == 0 {
		return plain(ctx)
	}
	entry, keyed, err := newSpooled(r, s.principal(ctx).owner(), specs)
	if err != nil {
		return admitted{}, err
	}
	if s.o.Spool == nil {
		return s.insertKeyed(ctx, entry)
	}
	if !s.detour.ask(time.Now()) {
		return s.keep(ctx, entry, job.ErrUnavailable)
	}
	var in admitted
	if keyed {
		in, err = s.insertKeyed(ctx, entry)
	} else {
		in, err = plain(ctx)
	}
	away, certain := errors.Is(err, job.ErrUnavailable), errors.Is(err, job.ErrNotInserted)
	s.detour.note(time.Now(), away, certain)
	if !away || !keyed && !certain {
		return in, err
	}
	return s.keep(ctx, entry, err)
}

// insertKeyed inserts a request under its key, or finds what was inserted under it.
func (s *Server) insertKeyed(ctx context.Context, entry job.Spooled) (admitted, error) {
	ids, replayed, err := s.o.Keyed.InsertOnce(ctx, entry)
	switch {
	case errors.Is(err, job.ErrKeyReused):
		return admitted{}, keyReused()
	case errors.Is(err, job.ErrConflict):
		p := newProblem(http.StatusConflict, codeKeyInUse, "a request with this Idempotency-Key is under way; nothing was inserted, try again")
		p.retryAfter, p.cause = 1, err
		return admitted{}, p
	case err != nil:
		return admitted{}, fmt.Errorf("insert under a key: %w", err)
	case len(ids) != len(entry.Specs):
		return admitted{}, fmt.Errorf("insert under a key: got other ids than for %d jobs", len(entry.Specs))
	}
	// A crash here leaves the jobs and their key: the client, who has no answer, sends the
	// request again and is told of them.
	s.o.Failpoint("api.after_keyed")
	if !replayed {
		s.m.inserted.WithLabelValues("keyed").Add(float64(len(ids)))
	}
	return admitted{ids: ids, status: job.Queued, replayed: replayed}, nil
}

// retireKeys forgets old Idempotency-Keys once an hour until ctx ends. With a spool its
// drainer does.
func (s *Server) retireKeys(ctx context.Context) {
	pause := time.NewTicker(retirePause)
	defer pause.Stop()
	for ctx.Err() == nil {
		if err := retire(ctx, s.o.Keyed); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "old idempotency keys not forgotten for now", logError, err)
		}
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

// retire forgets all keys that are old enough.
func retire(ctx context.Context, keyed Keyed) error {
	for {
		if n, err := keyed.RetireSpooled(ctx); err != nil || n == 0 {
			return err
		}
	}
}

// keep puts a request into the spool. why is what was wrong with Postgres.
func (s *Server) keep(ctx context.Context, entry job.Spooled, why error) (admitted, error) {
	// Asking Postgres may have used up all the time there was.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spoolTimeout)
	defer cancel()
	err := s.o.Spool.Append(ctx, entry)
	if err == nil {
		s.m.spooled.Add(float64(len(entry.Specs)))
		return admitted{spoolID: entry.Key}, nil
	}
	if errors.Is(err, job.ErrKeyReused) {
		return admitted{}, keyReused()
	}
	reason, detail := "redis", "Postgres does not answer for now, and neither does the spool: nothing was inserted, unless Redis kept the jobs and could not say so"
	if errors.Is(err, job.ErrSpoolFull) || errors.Is(err, job.ErrFull) {
		reason, detail = "full", "Postgres does not answer for now, and the spool is full: nothing was inserted"
	}
	s.m.spoolRefused.WithLabelValues(reason).Inc()
	p := newProblem(http.StatusServiceUnavailable, codeUnavailable, detail+"; try again")
	p.retryAfter, p.cause = 1, errors.Join(why, err)
	return admitted{}, p
}

func keyReused() *problem {
	return newProblem(http.StatusUnprocessableEntity, codeKeyReused, "the Idempotency-Key came with another body before")
}

// spooledAnswer is what a spooled request is answered with.
func spooledAnswer(id string) answer {
	return answer{status: http.StatusAccepted, location: "/v1/spool/" + id, body: struct {
		Durable bool   `json:"durable"`
		SpoolID string `json:"spool_id"`
	}{SpoolID: id}}
}

// newSpooled draws a request's key, or derives it from its Idempotency-Key and the owner
// of that, and says whether it has one. The digest need not have the route: no body is
// good for both one job and a batch.
func newSpooled(r request, owner string, specs []job.Spec) (job.Spooled, bool, error) {
	body := sha256.Sum256(r.body)
	if r.lines { // one line is a body for one job too
		body = sha256.Sum256(append([]byte(mimeLines+"\n"), r.body...))
	}
	entry := job.Spooled{Digest: body[:job.SpoolDigest], Specs: specs}
	if len(r.idemKeys) == 0 {
		var drawn [16]byte
		_, _ = rand.Read(drawn[:]) // never fails
		entry.Key = uuid(drawn, 4)
		return entry, false, nil
	}
	given := r.idemKeys[0]
	if len(r.idemKeys) > 1 || !validIdemKey(given) {
		return entry, false, invalidParameter("Idempotency-Key", fmt.Sprintf("must be given once, as 1 to %d visible ASCII characters", maxIdemKey))
	}
	if owner != "" {
		given = owner + "\n" + given // which no Idempotency-Key has in it
	}
	sum := sha256.Sum256([]byte("rookery idempotency key\n" + given))
	entry.Key = uuid([16]byte(sum[:16]), 8)
	return entry, true, nil
}

func validIdemKey(key string) bool {
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(key) >= 1 && len(key) <= maxIdemKey
}

// uuid writes b as a UUID of version 4, drawn, or 8, of our own making:
// https://www.rfc-editor.org/rfc/rfc9562.
func uuid(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// getSpool answers GET /v1/spool/{id}. Redis is asked first: an entry leaves it
// only after its jobs are in Postgres, so asked in this order nothing slips through
// between the two.
func (s *Server) getSpool(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	if !job.IsSpoolKey(r.id) {
		return answer{}, invalidParameter("id", "must be a spool_id, a UUID in lower case")
	}
	body := struct {
		SpoolID string         `json:"spool_id"`
		State   job.SpoolState `json:"state"`
		JobIDs  []int64        `json:"job_ids,omitempty"`
	}{SpoolID: r.id}
	asking, cancel := context.WithTimeout(ctx, spoolTimeout)
	defer cancel()
	var lost error
	body.State, lost = s.o.Spool.Find(asking, r.id)
	ctx, cancelQuery := context.WithTimeout(ctx, queryTimeout)
	defer cancelQuery()
	ids, err := s.o.Keyed.SpooledJobs(ctx, r.id)
	switch {
	case err == nil:
		body.State, body.JobIDs = job.SpoolInserted, ids
	case !errors.Is(err, job.ErrNotFound) && body.State != job.SpoolWaiting:
		return answer{}, fmt.Errorf("look up spool id: %w", err)
	case lost != nil:
		p := newProblem(http.StatusServiceUnavailable, codeUnavailable, "Redis does not answer for now, and Postgres has no jobs under this id; try again")
		p.retryAfter, p.cause = 1, lost
		return answer{}, p
	case body.State == job.SpoolUnknown:
		return answer{}, newProblem(http.StatusNotFound, codeSpoolUnknown,
			"nothing is known under this id: it was never given out, was lost with Redis, or its jobs were inserted more than eight days ago")
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// detour spares requests the wait for a Postgres that does not answer: while it is on
// they go to the spool at once, but for one that asks each second. It is only about
// speed, and so its clock is this process' own.
type detour struct {
	mu    sync.Mutex
	on    bool
	until time.Time
}

// ask reports whether to ask Postgres. Of those who come when the time is up one
// is let through; the others go by what it finds.
func (d *detour) ask(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.on {
		return true
	}
	if now.Before(d.until) {
		return false
	}
	d.until = now.Add(insertTimeout)
	return true
}

// note says what came of asking. The detour begins when Postgres is certain not to
// take inserts. A connection that broke is no reason: Postgres may end one session
// and serve all others, and a spooled job is worth less than an inserted one.
func (d *detour) note(now time.Time, away, certain bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.on, d.until = away && (certain || d.on), now.Add(detourPause)
}
