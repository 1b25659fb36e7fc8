package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/penguinmails/rookery/job"
)

// How much an export reads before it ends with a cursor, give or take a page.
const (
	maxExport  = 10_000          // lines
	exportTime = 5 * time.Second // however little of what it reads is wanted
)

// wish is which events a client wants, and may have.
type wish struct {
	who       Principal
	queue     string
	kind      *string
	status    string
	jobID     int64
	figures   bool            // of queues too
	begin     job.EventCursor // zero: the present
	beginning bool            // begin was given
}

// wishOf reads the parameters of a stream or an export.
func (s *Server) wishOf(ctx context.Context, r request, lastID string, more ...string) (wish, error) {
	w := wish{who: s.principal(ctx)}
	if err := r.allow(append([]string{"queue_name", "kind", "status", "job_id", "cursor"}, more...)...); err != nil {
		return w, err
	}
	var field *job.FieldError
	if w.queue = r.query.Get("queue_name"); w.queue != "" {
		if err := job.CheckQueueName(w.queue); errors.As(err, &field) {
			return w, invalidParameter("queue_name", field.Problem)
		}
	}
	if r.query.Has("kind") {
		kind := r.query.Get("kind")
		w.kind = &kind
	}
	noted := []job.Status{job.Queued, job.Running, job.Completed, job.Dead, job.Cancelled}
	if w.status = r.query.Get("status"); w.status != "" && !slices.Contains(noted, job.Status(w.status)) {
		return w, invalidParameter("status", "must be queued, running, completed, dead or cancelled: the others are not events")
	}
	if text := r.query.Get("job_id"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id < 1 {
			return w, invalidParameter("job_id", "must be a job's id")
		}
		w.jobID = id
	}
	w.figures = w.kind == nil && w.status == "" && w.jobID == 0
	if text := r.query.Get("cursor"); text != "" {
		lastID = text
	}
	if lastID == "" {
		return w, nil
	}
	begin, err := job.ParseEventCursor(lastID)
	if errors.As(err, &field) {
		return w, invalidParameter("cursor", field.Problem)
	}
	w.begin, w.beginning = begin, true
	return w, nil
}

func (w wish) takes(e job.StatusEvent) bool {
	return w.who.Sees(e.QueueName) && (w.queue == "" || e.QueueName == w.queue) && (w.kind == nil || e.Kind == *w.kind) &&
		(w.status == "" || string(e.Status) == w.status) && (w.jobID == 0 || e.JobID == w.jobID)
}

// eventRoutes adds what [Events] can do.
func (s *Server) eventRoutes(e *echo.Echo) {
	e.GET(routeEvents, s.streamEvents)
	e.GET(routeExport, s.exportEvents)
}

// streamEvents answers GET /v1/events.
func (s *Server) streamEvents(c echo.Context) error {
	ctx := c.Request().Context()
	r, err := newRequest(c)
	if err != nil {
		return err
	}
	want, err := s.wishOf(ctx, r, c.Request().Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	l, at, queues, err := s.hub.join(ctx, want.who.Name)
	if err != nil {
		return err
	}
	defer s.hub.leave(l)
	out := newEventStream(c, want)
	out.again = func() (Principal, bool) { who, p := s.entitled(c); return who, p == nil }
	if out.begin(ctx, s.o.Events, at) && out.queues(queues) && out.flush() {
		out.follow(ctx, s.hub, l)
	}
	return nil
}

// eventStream writes server-sent events,
// https://html.spec.whatwg.org/multipage/server-sent-events.html
type eventStream struct {
	wish
	to  *http.ResponseController
	w   http.ResponseWriter
	buf bytes.Buffer

	again func() (Principal, bool) // who listens, if they still may
	id    string                   // of what the client has been told, when that was not said yet
}

func newEventStream(c echo.Context, want wish) *eventStream {
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx passes it on at once
	s := &eventStream{wish: want, w: c.Response(), to: http.NewResponseController(c.Response())}
	_ = s.to.SetReadDeadline(time.Time{}) // there is no more to be read
	s.buf.WriteString("retry: 3000\n\n")
	return s
}

// begin tells what lies between the client's cursor and that of the hub.
func (s *eventStream) begin(ctx context.Context, events Events, at job.EventCursor) bool {
	if !s.beginning {
		s.resync("start", at)
		return true
	}
	from := s.wish.begin
	if !from.Settled && at.Settled {
		s.resync("gap", at)
		return true
	}
	for from.Since != at.Since {
		if from.Upto == "" {
			from.Upto, from.UptoAt = at.Since, at.At
		}
		ctx, cancel := context.WithTimeout(ctx, queryTimeout)
		page, err := events.Events(ctx, from, false)
		cancel()
		if err != nil {
			return s.flush() && false // what is there, and the client comes again
		}
		if s.page(page); !s.flush() {
			return false
		}
		if page.Gap {
			return true
		}
		from = page.Next
	}
	return true
}

// follow tells what the hub tells, until one of them ends it.
func (s *eventStream) follow(ctx context.Context, h *hub, l *listener) {
	look, ping, end := time.NewTicker(eventPause), time.NewTicker(streamPing), time.NewTimer(streamLife)
	defer look.Stop()
	defer ping.Stop()
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.closed:
			return
		case <-end.C:
			return
		case <-look.C:
			_ = h.turn(ctx) // Postgres is away: the stream goes on when it is back
		case <-ping.C:
			who, may := s.again()
			if !may {
				return // the client comes again, and is told why
			}
			s.who = who
			s.buf.WriteString(": ping\n")
			s.writeID()
			s.buf.WriteByte('\n')
		case b, ok := <-l.news:
			if !ok {
				s.resync("slow", job.EventCursor{})
				s.flush()
				return
			}
			s.page(b.page)
			s.queues(b.queues)
		}
		if !s.flush() {
			return
		}
	}
}

// page adds those events of p that are wanted. The last one has the id: a client that
// is cut off before it has them all gets them again.
func (s *eventStream) page(p job.EventPage) {
	if p.Next.Since == "" {
		return // a bulletin of queues
	}
	wanted := p.Events[:0:0]
	for _, e := range p.Events {
		if s.takes(e) {
			wanted = append(wanted, e)
		}
	}
	for i, e := range wanted {
		if i == len(wanted)-1 && !p.Gap {
			s.id = p.Next.String()
			s.writeID()
		}
		s.event("job.status", e)
	}
	switch {
	case p.Gap:
		s.resync("gap", p.Next)
	case len(wanted) == 0 && len(p.Events) > 0:
		s.id = p.Next.String() // with the next ping
	}
}

// queues adds the figures of queues that are wanted.
func (s *eventStream) queues(all []queueStatus) bool {
	for _, q := range all {
		if s.figures && s.who.Sees(q.QueueName) && (s.queue == "" || q.QueueName == s.queue) {
			s.event("queue.status", q)
		}
	}
	return true
}

// resync says that something may have happened that is not told: read anew what you
// want to know, then go on.
func (s *eventStream) resync(reason string, at job.EventCursor) {
	if at.Since != "" {
		s.id = at.String()
		s.writeID()
	}
	s.event("resync", map[string]string{"reason": reason})
}

func (s *eventStream) writeID() {
	if s.id != "" {
		fmt.Fprintf(&s.buf, "id: %s\n", s.id)
		s.id = ""
	}
}

func (s *eventStream) event(name string, v any) {
	data, _ := encode(v) // numbers and strings: cannot fail; one line, and a newline
	fmt.Fprintf(&s.buf, "event: %s\ndata: %s\n", name, data)
}

// flush sends what was added; false: the client is gone, or too slow.
func (s *eventStream) flush() bool {
	if s.buf.Len() == 0 {
		return true
	}
	defer s.buf.Reset()
	if s.to.SetWriteDeadline(time.Now().Add(streamWrite)) != nil {
		return false
	}
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return false
	}
	return s.to.Flush() == nil
}

// exportEnd is the last line of an export.
type exportEnd struct {
	Cursor string `json:"cursor"` // for the next export, whatever was read of this one
	More   bool   `json:"more"`   // there is more at this moment
	Gap    bool   `json:"gap"`    // what happened before the cursor is not told
	// CompleteFrom is there when it began by since: what transactions did that began
	// earlier may be missing.
	CompleteFrom *time.Time `json:"complete_from,omitempty"`
}

// exportEvents answers GET /v1/events/export with JSON lines.
func (s *Server) exportEvents(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), writeTimeout/2)
	defer cancel()
	r, err := newRequest(c)
	if err != nil {
		return err
	}
	want, err := s.wishOf(ctx, r, "", "since")
	if err != nil {
		return err
	}
	since, err := momentOf(r, "since")
	if err != nil {
		return err
	}
	if want.beginning && !since.IsZero() {
		return invalidParameter("since", "is for an export that begins; a cursor says where to go on")
	}
	done, err := s.exports.begin(want.who.Name)
	if err != nil {
		return err
	}
	defer done()
	if err := s.o.Events.OpenEvents(ctx, true); err != nil {
		return fmt.Errorf("open events: %w", err)
	}
	var body bytes.Buffer
	end, at := exportEnd{More: true}, want.begin
	if !since.IsZero() {
		start, err := s.o.Events.EventsSince(ctx, since)
		if err != nil {
			return fmt.Errorf("begin export: %w", err)
		}
		at, end.CompleteFrom = start.At, &start.CompleteFrom
	}
	for lines, began := 0, time.Now(); end.More && !end.Gap && lines < maxExport && time.Since(began) < exportTime; {
		page, err := s.o.Events.Events(ctx, at, true)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		for _, e := range page.Events {
			if want.takes(e) {
				line, _ := encode(e) // as above
				body.Write(line)
				lines++
			}
		}
		at, end.More, end.Gap = page.Next, page.More, page.Gap
	}
	end.Cursor = at.String()
	line, _ := encode(end)
	body.Write(line)
	return c.Blob(http.StatusOK, "application/x-ndjson", body.Bytes())
}
