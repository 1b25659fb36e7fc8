package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

const maxShown = 64 << 10 // bytes of a payload that the page shows; the whole is a link away

type jobBody struct {
	Job      job.Job
	State    string
	Why      string
	Steps    []step
	Attempts []attempt
	Reveal   bool   // the payload is shown
	Payload  string // as JSON with line breaks
	Headers  string
	Cut      bool // of Payload
	Size     int  // bytes of the payload
	Live     *job.Live
	Can      struct{ Cancel, Redrive bool }
}

// attempt is a [job.Attempt] as the page shows it.
type attempt struct {
	job.Attempt
	Word    string
	Tone    string
	Took    string
	Message string
	Stack   string
}

// job shows one job.
func (d *Dashboard) job(ctx context.Context, r *http.Request, v Visitor) (content, error) {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return content{}, err
	}
	j, err := d.ports.Jobs.JobOf(ctx, id, v.Queues)
	if err != nil {
		return content{}, fmt.Errorf("read job: %w", err)
	}
	attempts, err := d.ports.Jobs.Attempts(ctx, id)
	if err != nil {
		return content{}, fmt.Errorf("read attempts: %w", err)
	}
	f, err := d.factsOf(ctx, j, v)
	if err != nil {
		return content{}, err
	}
	body := jobBody{Job: j, State: stateOf(j, f.now), Why: why(j, f), Steps: timeline(j, attempts), Live: f.live, Size: len(j.Payload)}
	body.Can.Cancel, body.Can.Redrive = !j.Status.Terminal(), j.Status.Terminal()
	for _, a := range attempts {
		body.Attempts = append(body.Attempts, attemptOf(a))
	}
	if r.URL.Query().Get("reveal") == "payload" && d.rights(v).Payload {
		body.Reveal = true
		body.Payload, body.Cut = pretty(j.Payload)
		d.log.InfoContext(ctx, "dashboard payload shown", logVisitor, v.Name, logJobID, id)
	}
	body.Headers, _ = pretty(j.Headers)
	return content{template: "job", title: "Job " + strconv.FormatInt(id, 10), nav: "jobs", live: !body.Reveal, body: body}, nil
}

// factsOf asks for what [why] needs and the row does not have. Redis being away is an
// answer too.
func (d *Dashboard) factsOf(ctx context.Context, j job.Job, v Visitor) (facts, error) {
	f := facts{now: time.Now()}
	var err error
	if f.glance, err = d.look(ctx, v); err != nil {
		return f, err
	}
	switch j.Status {
	case job.Queued:
		if f.ahead, err = d.ports.Jobs.Ahead(ctx, j); err != nil {
			return f, fmt.Errorf("count jobs ahead: %w", err)
		}
	case job.Dispatched, job.Running:
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if live, err := d.ports.Live.Live(asking, j); err == nil {
			f.live = &live
		}
	case job.Completed, job.Dead, job.Cancelled:
	}
	return f, nil
}

func attemptOf(a job.Attempt) attempt {
	out := attempt{Attempt: a, Word: outcomeWord(a.Outcome), Tone: outcomeTone(a.Outcome), Took: "–", Message: messageOf(a.Error), Stack: stackOf(a.Error)}
	if a.StartedAt != nil {
		out.Took = span(a.FinishedAt.Sub(*a.StartedAt))
	}
	return out
}

// errorText is what outbox.attempts keeps of an error.
type errorText struct {
	Message string `json:"message"`
	Stack   string `json:"stack"`
}

func messageOf(raw json.RawMessage) string {
	var e errorText
	if len(raw) == 0 || json.Unmarshal(raw, &e) != nil {
		return string(raw)
	}
	return e.Message
}

func stackOf(raw json.RawMessage) string {
	var e errorText
	if len(raw) == 0 || json.Unmarshal(raw, &e) != nil {
		return ""
	}
	return e.Stack
}

// pretty breaks JSON into lines. Its numbers stay as they are written: decoded, large
// ones would change.
func pretty(raw json.RawMessage) (text string, cut bool) {
	if len(raw) == 0 {
		return "", false
	}
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		b.Reset()
		b.Write(raw)
	}
	if b.Len() > maxShown {
		return string(bytes.ToValidUTF8(b.Bytes()[:maxShown], nil)), true
	}
	return b.String(), false
}

// payload sends a job's payload as text, to be kept: nothing a browser would run.
func (d *Dashboard) payload(w http.ResponseWriter, r *http.Request) {
	v, err := d.visitor(r)
	if err != nil {
		d.turnAway(w, r, err)
		return
	}
	if !d.rights(v).Payload {
		d.fail(w, r, v, &pageError{http.StatusForbidden, "Payloads take a key with the scope payloads:read."})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	id, err := parseID(r.PathValue("id"))
	var j job.Job
	if err == nil {
		j, err = d.ports.Jobs.JobOf(ctx, id, v.Queues)
	}
	if err != nil {
		d.fail(w, r, v, err)
		return
	}
	d.log.InfoContext(ctx, "dashboard payload shown", logVisitor, v.Name, logJobID, id)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="job-%d.json.txt"`, id))
	_, _ = w.Write(j.Payload) // a client that is gone is no fault of ours
}

func (d *Dashboard) cancel(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	return d.one(ctx, r, v, "cancel", d.hands(v).Jobs.Cancel)
}

func (d *Dashboard) redrive(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	return d.one(ctx, r, v, "redrive", d.hands(v).Jobs.Redrive)
}

// one does something to one job.
func (d *Dashboard) one(ctx context.Context, r *http.Request, v Visitor, action string, do func(context.Context, int64) (bool, error)) (done, error) {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return done{}, err
	}
	ok, err := do(ctx, id)
	if err != nil {
		return done{}, fmt.Errorf("%s job: %w", action, err)
	}
	d.log.InfoContext(ctx, "dashboard action", logVisitor, v.Name, logAction, action, logJobID, id)
	what := done{flash: flash{code: action, done: 1}, to: "/ui/jobs/" + strconv.FormatInt(id, 10)}
	if !ok {
		what.flash.done, what.flash.undone = 0, 1
	}
	return what, nil
}

// clone inserts a job with the same queue, kind, payload, headers, priority and
// attempts, due now.
func (d *Dashboard) clone(ctx context.Context, r *http.Request, v Visitor) (done, error) {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return done{}, err
	}
	clone, err := d.hands(v).Jobs.Clone(ctx, id)
	if err != nil {
		return done{}, fmt.Errorf("clone job: %w", err)
	}
	d.log.InfoContext(ctx, "dashboard action", logVisitor, v.Name, logAction, "clone", logJobID, id)
	return done{flash: flash{code: "clone", done: 1}, to: "/ui/jobs/" + strconv.FormatInt(clone, 10)}, nil
}
