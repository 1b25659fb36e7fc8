// Command receiver is a receiver of push workers as somebody's web service would be: it
// verifies what it gets, does what the payload's plan says of this attempt, and answers,
// or calls back later, at any server of the API. It writes down each delivery, each answer
// before its first byte leaves, and what it was told of its callbacks.
//
// It keeps the rules of docs/push-workers.md: a callback without an answer is said again,
// to the next server, until one says 200 or 409. It knows a token as a text, and takes
// from it only the number that the verifier knows runs by. It keeps nothing in memory that
// the next life would need: what it promised and did not do by then, it never does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/penguinmails/rookery/test/chaos/history"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

// receiver is one process.
type receiver struct {
	log     *history.Log
	hook    *standardwebhooks.Webhook
	servers []string // of the API, by URL
	names   map[string]string
	http    http.Client
}

func run(ctx context.Context) error {
	r := &receiver{names: map[string]string{}, http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	var err error
	if r.log, err = history.Open(os.Getenv("CHAOS_HISTORY"), os.Getenv("CHAOS_NAME")); err != nil {
		return err
	}
	defer func() { _ = r.log.Close() }() // nothing is buffered
	if r.hook, err = standardwebhooks.NewWebhook(os.Getenv("CHAOS_SECRET")); err != nil {
		return fmt.Errorf("CHAOS_SECRET: %w", err)
	}
	for part := range strings.SplitSeq(os.Getenv("CHAOS_SERVERS"), ",") {
		name, at, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("CHAOS_SERVERS is %q", part)
		}
		r.servers = append(r.servers, at)
		r.names[at] = name
	}
	ln, err := net.Listen("tcp", os.Getenv("CHAOS_LISTEN"))
	if err != nil {
		return err
	}
	r.note(history.Act{Word: history.Listens})
	server := &http.Server{Handler: http.HandlerFunc(r.take), ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // whoever waits is hung up on
	if cert := os.Getenv("CHAOS_CERT"); cert != "" {
		err = server.ServeTLS(ln, cert, os.Getenv("CHAOS_KEY"))
	} else {
		err = server.Serve(ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// delivery is one request that was verified.
type delivery struct {
	Data struct {
		Key  string   `json:"key"`
		MS   int      `json:"ms"`
		Plan []string `json:"plan"` // what to do at each attempt; the last counts for all that follow
	} `json:"data"`
	Job struct {
		ID           int64     `json:"id"`
		QueueName    string    `json:"queue_name"`
		AttemptCount int32     `json:"attempt_count"`
		Deadline     time.Time `json:"deadline"`
	} `json:"job"`
	Callback struct {
		URL   string `json:"url"`
		Token string `json:"token"`
	} `json:"callback"`

	act history.Act // what every line about it has
}

// take takes one request.
func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	d, err := r.read(req)
	if err != nil {
		if req.Context().Err() == nil { // nobody hung up in the middle of the body
			fmt.Fprintln(os.Stderr, "receiver: please report this: a request that is wrong:", err)
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	began := d.act
	began.Word, began.How, began.Due = history.Started, req.Proto, d.Job.Deadline.UnixMicro()
	if u, err := url.Parse(d.Callback.URL); err == nil {
		began.Target = u.Host // each push worker names another: it says who has sent this
	}
	r.note(began)
	r.answer(w, req, d)
}

// read verifies a request and reads it.
func (r *receiver) read(req *http.Request) (*delivery, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if err := r.hook.Verify(body, req.Header); err != nil {
		return nil, err
	}
	d := &delivery{}
	if err := json.Unmarshal(body, d); err != nil {
		return nil, err
	}
	dispatch, err := dispatchOf(d.Callback.Token)
	if err != nil {
		return nil, err
	}
	if id := req.Header.Get("Webhook-Id"); id != fmt.Sprint(d.Job.ID) || req.Header.Get("Rookery-Attempt") != fmt.Sprint(d.Job.AttemptCount) {
		return nil, fmt.Errorf("its headers name job %s, its body %d", id, d.Job.ID)
	}
	d.act = history.Act{Key: d.Data.Key, ID: d.Job.ID, Attempt: d.Job.AttemptCount, Dispatch: dispatch, Queue: d.Job.QueueName}
	return d, nil
}

func (r *receiver) note(acts ...history.Act) {
	if err := r.log.Note(acts...); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1) // a history with holes proves nothing
	}
}
