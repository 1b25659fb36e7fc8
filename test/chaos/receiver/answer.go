package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// What a line says of how a delivery ended: what its receiver wants Postgres to believe.
const (
	isOK      = "ok"      // the work is done
	isLate    = "late"    // the same, and the push worker had given up by then
	isFailed  = "failed"  // it failed, or nobody will hear that it is done
	isRefused = "refused" // the job is to be dead
	isBusy    = "busy"    // the job is to come again, at no cost
)

const (
	later  = time.Second      // after the deadline
	slowly = 25 * time.Second // longer than the lease of a push worker that is gone, and the next attempt's beginning
)

// step is what the plan says of this attempt.
func (d *delivery) step() string {
	plan := d.Data.Plan
	if len(plan) == 0 {
		return isOK
	}
	return plan[min(int(d.Job.AttemptCount), len(plan))-1]
}

// answer does the work, and answers as the plan says.
func (r *receiver) answer(w http.ResponseWriter, req *http.Request, d *delivery) {
	step := d.step()
	if strings.HasPrefix(step, "later") {
		r.accept(w, req, d, step)
		return
	}
	if step == isLate {
		<-time.After(time.Until(d.Job.Deadline) + later) // whoever has sent it may be gone
	} else if !works(req.Context(), d) {
		r.says(d, "hung_up", "")
		return
	}
	switch step {
	case isOK:
		r.status(w, d, isOK, http.StatusOK)
	case isLate:
		r.status(w, d, isLate, http.StatusOK)
	case "500":
		r.status(w, d, isFailed, http.StatusInternalServerError)
	case "422":
		r.status(w, d, isRefused, http.StatusUnprocessableEntity)
	case "410":
		r.status(w, d, isBusy, http.StatusGone)
	case "503-bare":
		r.status(w, d, isFailed, http.StatusServiceUnavailable)
	case "429", "503":
		w.Header().Set("Retry-After", "1")
		r.status(w, d, isBusy, map[string]int{"429": http.StatusTooManyRequests, "503": http.StatusServiceUnavailable}[step])
	case "cut":
		r.broken(w, req, d, isFailed, "HTTP/1.1 200 OK\r\nContent-Ty")
	case "cut-body": // the status decides
		r.cutBody(w, d)
	case "answer-lost": // what is done is done, and the job comes again
		r.broken(w, req, d, isFailed, "")
	case "slow-body":
		r.drip(w, req, d)
	default:
		panic("please report this: a plan says " + step)
	}
}

// works does the work, and reports whether it was not broken off.
func works(ctx context.Context, d *delivery) bool {
	select {
	case <-time.After(time.Duration(d.Data.MS) * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// says writes down, before it is so, that the request is answered, and what with.
func (r *receiver) says(d *delivery, answer, how string) {
	answered, finished := d.act, d.act
	answered.Word, answered.How = history.Answered, answer
	if how == "" {
		r.note(answered)
		return
	}
	finished.Word, finished.How = history.Finished, how
	r.note(answered, finished)
}

func (r *receiver) status(w http.ResponseWriter, d *delivery, how string, code int) {
	r.says(d, fmt.Sprint(code), how)
	w.WriteHeader(code)
}

// broken breaks off before the answer is whole. HTTP/1.1 has a connection to write half a
// head to, and to close; HTTP/2 ends the stream.
func (r *receiver) broken(w http.ResponseWriter, req *http.Request, d *delivery, how, head string) {
	r.says(d, "broken off", how)
	if req.ProtoMajor == 1 {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // HTTP/1.1 can
		}
		_, _ = conn.Write([]byte(head)) // that it breaks is the point
		_ = conn.Close()                // the same
		return
	}
	panic(http.ErrAbortHandler)
}

// cutBody breaks off in the middle of the body.
func (r *receiver) cutBody(w http.ResponseWriter, d *delivery) {
	w.Header().Set("Content-Length", "100")
	r.status(w, d, isOK, http.StatusOK)
	_, _ = w.Write([]byte("half"))            // that it breaks is the point
	_ = http.NewResponseController(w).Flush() // the same
	panic(http.ErrAbortHandler)
}

// drip answers 200 at once, and with a body that does not end within the time a push worker
// reads one.
func (r *receiver) drip(w http.ResponseWriter, req *http.Request, d *delivery) {
	r.status(w, d, isOK, http.StatusOK)
	out := http.NewResponseController(w)
	for range 40 {
		if _, err := w.Write([]byte(".")); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-req.Context().Done():
			return
		}
	}
}
