package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// answerTime is how long a server that says nothing is waited for.
const answerTime = 8 * time.Second

// dispatchOf returns the dispatch that a token names: bytes 9 to 16 (job.Callback).
func dispatchOf(token string) (int64, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 17 {
		return 0, errors.New("it has no token")
	}
	return int64(binary.BigEndian.Uint64(b[9:17])), nil
}

// accept answers that the receiver will call back, and calls back as the plan says, whatever
// becomes of the request.
func (r *receiver) accept(w http.ResponseWriter, req *http.Request, d *delivery, step string) {
	r.says(d, "202", "")
	w.Header().Set("Rookery-Async", "true")
	w.WriteHeader(http.StatusAccepted)
	go r.callBack(context.WithoutCancel(req.Context()), d, step) // it ends with the process, as a promise would
}

func (r *receiver) callBack(ctx context.Context, d *delivery, step string) {
	switch step {
	case "later-extend": // beyond the deadline that there was
		if !r.extend(ctx, d, 10*time.Second) {
			return
		}
		<-time.After(time.Until(d.Job.Deadline) + later)
	case "later-slow":
		if !r.extend(ctx, d, 2*slowly) {
			return
		}
		<-time.After(slowly)
	case "later-never":
	default:
		works(ctx, d)
	}
	switch step {
	case "later", "later-extend", "later-slow":
		r.tell(ctx, d, isOK, "complete", `{}`)
	case "later-fail":
		r.tell(ctx, d, isFailed, "fail", `{"error": {"type": "Told", "message": "to fail"}}`)
	case "later-dead":
		r.tell(ctx, d, isRefused, "fail", `{"dead": true, "error": {"type": "Told", "message": "to die"}}`)
	case "later-never":
		finished := d.act
		finished.Word, finished.How = history.Finished, isFailed
		r.note(finished)
	default:
		panic("please report this: a plan says " + step)
	}
}

// extend asks for more time. false: the attempt is over.
func (r *receiver) extend(ctx context.Context, d *delivery, by time.Duration) bool {
	code, answer, _ := r.say(ctx, d, "extend", `{"lease": "`+by.String()+`"}`)
	if code != http.StatusOK {
		return false
	}
	extended := d.act
	extended.Word, extended.Due = history.Extended, answer.ExpiresAt.UnixMicro()
	r.note(extended)
	return true
}

// tell says how the work has ended, and writes down what it is told.
func (r *receiver) tell(ctx context.Context, d *delivery, how, verb, body string) {
	act := d.act
	act.Word, act.How = history.Finished, how
	r.note(act)
	code, answer, by := r.say(ctx, d, verb, body)
	act.Target = by
	if act.Word, act.How = history.Settled, answer.Status; code != http.StatusOK {
		act.Word, act.How = history.Refused, map[string]string{"complete": "ack", "fail": "nack"}[verb]
	}
	r.note(act)
}

// reply is a server's answer to a callback.
type reply struct {
	Status    string
	ExpiresAt time.Time `json:"expires_at"`
}

// say says something of an attempt, at the address that came with it or at any other
// server, until one has said 200 or 409.
func (r *receiver) say(ctx context.Context, d *delivery, verb, body string) (code int, answer reply, by string) {
	at := append([]string{strings.TrimSuffix(d.Callback.URL, "/v1/callback")}, r.servers...)
	for i := rand.IntN(len(at)); ; i++ {
		server := at[i%len(at)]
		code, answer, err := r.post(ctx, server+"/v1/callback/"+verb, d.Callback.Token, body)
		if err == nil && (code == http.StatusOK || code == http.StatusConflict) {
			return code, answer, r.name(server)
		}
		<-time.After(50*time.Millisecond + rand.N(200*time.Millisecond))
	}
}

func (r *receiver) name(server string) string {
	if name, ok := r.names[server]; ok {
		return name
	}
	return server
}

func (r *receiver) post(ctx context.Context, at, token, body string) (code int, answer reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(body))
	if err != nil {
		return 0, reply{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := r.http.Do(req)
	if err != nil {
		return 0, reply{}, err
	}
	defer func() { _ = res.Body.Close() }() // it was read, or failed to be
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return res.StatusCode, reply{}, err
	}
	err = json.Unmarshal(text, &answer)
	return res.StatusCode, answer, err
}
