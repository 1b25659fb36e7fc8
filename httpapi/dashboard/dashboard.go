package dashboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/penguinmails/rookery/job"
)

// readTimeout bounds what a page asks for; a page that takes longer is of no use.
const readTimeout = 5 * time.Second

// The keys of log lines.
const (
	logError     = "error"
	logRequestID = "request_id"
	logPath      = "path"
	logVisitor   = "visitor"
	logAction    = "action"
	logJobID     = "job_id"
	logQueueName = "queue_name"
	logWindow    = "window_size"
	logOperation = "operation_id"
	logReason    = "reason"
)

// Dashboard serves the pages under /ui/. Its methods may be called concurrently.
type Dashboard struct {
	ports   Ports
	o       Options
	log     *slog.Logger
	views   *views
	assets  *assets
	pulse   *pulse
	groups  *kept[[]job.DeadGroup] // by the visitor's queues
	deadOf  *kept[int64]           // by the visitor's queues, how many jobs are dead
	charts  charts
	cross   *http.CrossOriginProtection
	handler http.Handler
	closed  chan struct{} // closed by Close
	closing atomic.Bool
	streams atomic.Int64
}

// New returns a Dashboard. The error is about the options.
func New(p Ports, o Options) (*Dashboard, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	o, err := o.filled()
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	files, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("dashboard: read assets: %w", err)
	}
	templates, err := loadViews(files)
	if err != nil {
		return nil, fmt.Errorf("dashboard: read templates: %w", err)
	}
	d := &Dashboard{
		ports: p, o: o, log: o.Logger, views: templates, assets: files,
		pulse: &pulse{house: p.House},
		groups: &kept[[]job.DeadGroup]{length: groupsKept, read: func(ctx context.Context, key string) ([]job.DeadGroup, error) {
			groups, err := p.House.DeadGroups(ctx, queuesOf(key))
			if err != nil {
				err = fmt.Errorf("group dead jobs: %w", err)
			}
			return groups, err
		}},
		deadOf: &kept[int64]{length: groupsKept, read: func(ctx context.Context, key string) (int64, error) {
			n, err := p.House.CountDead(ctx, queuesOf(key))
			if err != nil {
				err = fmt.Errorf("count dead jobs: %w", err)
			}
			return n, err
		}},
		charts: newCharts(p.Charts),
		cross:  http.NewCrossOriginProtection(),
		closed: make(chan struct{}),
	}
	d.handler = d.routes()
	return d, nil
}

// Close ends the streams, which else would keep a server from shutting down. Pages go
// on being served. It may be called again.
func (d *Dashboard) Close() {
	if d.closing.CompareAndSwap(false, true) {
		close(d.closed)
	}
}

// ServeHTTP serves the pages under /ui/, which stays in the path.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	if err := d.cross.Check(r); err != nil {
		d.fail(w, r, Visitor{}, &pageError{http.StatusForbidden, "This came from a page of another origin, and was not done."})
		return
	}
	d.handler.ServeHTTP(w, r)
}

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	for _, p := range d.pages() {
		mux.HandleFunc(p.pattern, p.serve)
	}
	return mux
}

// page is what is served at a pattern of [http.ServeMux].
type page struct {
	pattern string
	serve   http.HandlerFunc
}

func (d *Dashboard) pages() []page {
	return []page{
		{"GET /ui/static/{hash}/{name}", d.assets.serve},
		{"GET /ui/login", d.loginForm},
		{"POST /ui/login", d.login},
		{"GET /ui/login/issuer", d.signOn},
		{"GET " + SignOnPath, d.signedOn},
		{"POST /ui/logout", d.logout},
		{"GET /ui/stream", d.stream},
		{"GET /ui/charts", d.chartData},

		{"GET /ui/{$}", d.show(filtered, d.overview)},
		{"GET /ui/jobs", d.show(filtered, d.jobs)},
		{"GET /ui/jobs/{id}", d.show(filtered, d.job)},
		{"GET /ui/jobs/{id}/payload", d.payload},
		{"GET /ui/operations", d.show(filtered, d.operations)},
		{"GET /ui/operations/new", d.show(filtered, d.confirmOperation)},
		{"GET /ui/operations/{id}", d.show(filtered, d.operation)},
		{"GET /ui/queues", d.show(filtered, d.queues)},
		{"GET /ui/queues/{name}", d.show(filtered, d.queue)},
		{"GET /ui/workers", d.show(filtered, d.workers)},
		{"GET /ui/webhooks", d.show(filtered, d.webhooks)},
		{"GET /ui/dead", d.show(filtered, d.dead)},
		{"GET /ui/figures", d.show(filtered, d.figuresPage)},
		{"GET /ui/storage", d.show(whole, d.storage)},
		{"GET /ui/audit", d.show(whole, d.audit)},
		{"GET /ui/about", d.show(filtered, d.about)},

		{"POST /ui/jobs/{id}/cancel", d.act(filtered, mayOperate, d.cancel)},
		{"POST /ui/jobs/{id}/redrive", d.act(filtered, mayOperate, d.redrive)},
		{"POST /ui/jobs/{id}/clone", d.act(filtered, mayOperate, d.clone)},
		{"POST /ui/jobs/bulk", d.act(filtered, mayOperate, d.bulk)},
		{"POST /ui/operations", d.act(filtered, mayOperate, d.beginOperation)},
		{"POST /ui/operations/{id}/cancel", d.act(filtered, mayOperate, d.cancelOperation)},
		{"POST /ui/queues/{name}/pause", d.act(filtered, mayOperate, d.pause)},
		{"POST /ui/queues/{name}/resume", d.act(filtered, mayOperate, d.resume)},
		{"POST /ui/webhooks/{name}/enable", d.act(filtered, mayOperate, d.enableEndpoint)},
		{"POST /ui/webhooks/{name}/disable", d.act(filtered, mayOperate, d.disableEndpoint)},
		{"POST /ui/queues/{name}/window", d.act(whole, mayAdminister, d.setWindow)},

		{"/ui/", d.show(filtered, func(context.Context, *http.Request, Visitor) (content, error) {
			return content{}, &pageError{http.StatusNotFound, "There is no such page."}
		})},
	}
}

// content is a page's own part, and the template that shows it.
type content struct {
	template string // of templates/, without .html
	title    string
	nav      string // which entry of the menu it belongs to
	live     bool   // it is kept fresh
	body     any
}

// show serves a page to whoever is logged in and may reach it.
func (d *Dashboard) show(to reach, of func(context.Context, *http.Request, Visitor) (content, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := d.visitor(r)
		if err != nil {
			d.turnAway(w, r, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
		defer cancel()
		var c content
		if err = v.mayReach(to); err == nil {
			c, err = of(ctx, r, v)
		}
		var away *redirect
		switch {
		case errors.As(err, &away):
			http.Redirect(w, r, away.to, http.StatusSeeOther)
		case err != nil:
			d.fail(w, r, v, err)
		default:
			d.render(w, r, v, http.StatusOK, c)
		}
	}
}

// redirect is the answer of a page that is found elsewhere.
type redirect struct{ to string }

// Error names the place.
func (e *redirect) Error() string { return "found at " + e.to }

// pageError is what a person is told instead of a page.
type pageError struct {
	status int
	text   string
}

// Error returns the text.
func (e *pageError) Error() string { return e.text }

// fail shows what went wrong, and logs what somebody has to know.
func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, v Visitor, err error) {
	p := problemOf(err)
	if p.status >= http.StatusInternalServerError && r.Context().Err() == nil {
		level := slog.LevelWarn
		if p.status == http.StatusInternalServerError {
			level = slog.LevelError
		}
		d.log.Log(r.Context(), level, "page not served", logRequestID, requestID(w), logPath, r.URL.Path, logError, err)
	}
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	d.render(w, r, v, p.status, content{template: "problem", title: http.StatusText(p.status), body: p.text})
}

func problemOf(err error) *pageError {
	var p *pageError
	var field *job.FieldError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &field):
		return &pageError{http.StatusUnprocessableEntity, field.Error() + "."}
	case errors.Is(err, job.ErrNotFound):
		return &pageError{http.StatusNotFound, "There is no such job. Jobs that are over are deleted after a while."}
	case errors.Is(err, job.ErrUnavailable), errors.Is(err, job.ErrConflict), errors.Is(err, context.DeadlineExceeded):
		return &pageError{http.StatusServiceUnavailable, "Postgres does not answer for now. Try again in a moment."}
	}
	return &pageError{http.StatusInternalServerError, "Something is wrong on our side; the log has it under the request id of this page."}
}

// requestID is the id under which httpapi knows the request.
func requestID(w http.ResponseWriter) string { return w.Header().Get("X-Request-Id") }
