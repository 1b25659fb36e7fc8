package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penguinmails/rookery/job"
)

// answerTime is how long a server that says nothing is waited for, beyond what it was
// asked to wait.
const answerTime = 3 * time.Second

// api is the servers, one of which is asked at a time: the same one until it does not
// answer, or with roam any, as behind a load balancer.
type api struct {
	servers []server
	roam    bool
	at      atomic.Int64
	http    http.Client
}

type server struct{ name, url string }

// newAPI reads name=url,name=url.
func newAPI(spec string, roam bool) (*api, error) {
	a := &api{roam: roam, http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	for part := range strings.SplitSeq(spec, ",") {
		name, url, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("CHAOS_SERVERS is %q", spec)
		}
		a.servers = append(a.servers, server{name, url})
	}
	a.at.Store(rand.Int64N(int64(len(a.servers))))
	return a, nil
}

// turn goes on with the next server.
func (a *api) turn() { a.at.Add(1) }

func (a *api) server() server {
	if a.roam {
		return a.servers[rand.IntN(len(a.servers))]
	}
	return a.servers[int(a.at.Load())%len(a.servers)]
}

// after returns the server that follows s.
func (a *api) after(s server) server {
	i := slices.Index(a.servers, s)
	return a.servers[(i+1)%len(a.servers)]
}

// post asks the server whose turn it is. The error is that of a connection, or an answer
// that says to come again; the next request goes to the next server then.
func (a *api) post(ctx context.Context, path, body string, wait time.Duration, into any) (code int, by string, err error) {
	return a.postTo(ctx, a.server(), path, body, wait, into)
}

func (a *api) postTo(ctx context.Context, s server, path, body string, wait time.Duration, into any) (code int, by string, err error) {
	defer func() {
		if err != nil {
			a.turn()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, wait+answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, s.name, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := a.http.Do(req)
	if err != nil {
		return 0, s.name, err
	}
	defer func() { _ = res.Body.Close() }() // it was read, or failed to be
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return 0, s.name, err
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return res.StatusCode, s.name, fmt.Errorf("%s: %d %s", s.name, res.StatusCode, text)
	case res.StatusCode >= 300:
		return res.StatusCode, s.name, nil
	}
	return res.StatusCode, s.name, json.NewDecoder(bytes.NewReader(text)).Decode(into)
}

// lease asks for up to n jobs of a queue.
func (a *api) lease(ctx context.Context, worker, queue string, n int) ([]*lease, error) {
	var answer struct{ Jobs []*lease }
	sent := time.Now()
	code, by, err := a.post(ctx, "/v1/queues/"+queue+"/lease",
		fmt.Sprintf(`{"worker_id": %q, "max": %d, "wait": %q, "lease": %q}`, worker, n, waitTime, leaseTime), waitTime, &answer)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("lease: %d", code)
	}
	if err != nil {
		return nil, err
	}
	for _, l := range answer.Jobs {
		name, err := job.ParseLeaseID(l.ID)
		if err != nil {
			return nil, err
		}
		l.dispatch, l.server, l.renewed = name.DispatchID, by, sent
	}
	return answer.Jobs, nil
}

// settle says of a lease what became of it until a server has answered: it returns the
// job's status since, or "" when the lease was lost.
func (a *api) settle(ctx context.Context, l *lease, verb, more string) (status, by string) {
	for {
		var answer struct{ Status string }
		code, by, err := a.post(ctx, "/v1/leases/"+l.ID+"/"+verb, fmt.Sprintf(`{"lease_token": %q%s}`, l.Token, more), 10*time.Second, &answer)
		switch {
		case err == nil && code == http.StatusOK:
			return answer.Status, by
		case err == nil && code == http.StatusConflict:
			return "", by
		}
		pause(ctx, time.Duration(50+rand.IntN(200))*time.Millisecond)
	}
}

// beat extends leases and returns what is wrong with those that were not, by id.
func (a *api) beat(ctx context.Context, s server, worker string, leases []*lease) (map[string]string, error) {
	keys := make([]string, len(leases))
	for i, l := range leases {
		keys[i] = fmt.Sprintf(`{"lease_id": %q, "lease_token": %q}`, l.ID, l.Token)
	}
	var answer struct{ Cancelled, Lost, Elsewhere []string }
	code, _, err := a.postTo(ctx, s, "/v1/workers/"+worker+"/heartbeat", `{"leases": [`+strings.Join(keys, ",")+`]}`, 0, &answer)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("heartbeat: %d", code)
	}
	told := map[string]string{}
	for how, ids := range map[string][]string{"cancelled": answer.Cancelled, "lease_lost": answer.Lost, "elsewhere": answer.Elsewhere} {
		for _, id := range ids {
			told[id] = how
		}
	}
	return told, err
}
