package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// CallbackPath is where the API takes what receivers say later.
const CallbackPath = "/v1/callback"

// askEvery is how often it is asked what became of attempts that are open.
const askEvery = 500 * time.Millisecond

// calls are the attempts whose receivers have answered that they will call back.
//
//	202, Rookery-Async ──▶ await ── every 500 ms, all that are open ──▶ Postgres
//	                         │                                            ▲
//	                         ◀── over: settled, extended, or late ────────┤
//	receiver ── token ──▶ any server of the API ── under the fence ───────┘
//
// The server that is called writes the outcome, so that the receiver's 200 means that
// Postgres has it, whatever becomes of this process. Here only the slot and the lease
// wait. An attempt is given up when Postgres has said after its deadline that there was
// neither an outcome nor more time: not on a look from before.
type calls struct {
	base  string // of the API; "": receivers cannot call back
	store Store
	log   *slog.Logger
	m     *metrics
	blind bool // the last look failed
	keys  job.Keyring

	mu   sync.Mutex // guards what follows
	open map[job.Ref]*openCall
}

// CheckCallbackURL says what is wrong with the address of the API, which tokens travel
// to: by https, unless to this machine or p allows plain http. "" is none.
func (p Policy) CheckCallbackURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be the address of the API, such as https://rookery.example, without user, query and fragment")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
	if u.Scheme == "http" && !local && !p.AllowHTTP {
		return errors.New("must begin with https://, for tokens travel there; http:// is for loopback addresses, and where ROOKERY_PUSH_ALLOW_HTTP allows it")
	}
	return nil
}

// openCall is one attempt that is open.
type openCall struct {
	job   *workers.Job
	state chan openAnswer // the last that Postgres has given
}

// openAnswer is what Postgres says to a question that was asked then.
type openAnswer struct {
	job.OpenState
	asked time.Time
}

func newCalls(base string, store Store, m *metrics, log *slog.Logger) *calls {
	return &calls{base: base, store: store, m: m, log: log, open: map[job.Ref]*openCall{}}
}

// taken reports whether receivers can call back.
func (c *calls) taken() bool { return c != nil && c.base != "" }

// invite is what a receiver needs to call back about j; nil: it cannot. The error says
// that the seal keys cannot be read, or that none signs.
func (c *calls) invite(ctx context.Context, j *workers.Job, now time.Time) (*callbackFacts, error) {
	if !c.taken() {
		return nil, nil
	}
	keys, err := c.keys.Get(ctx, c.store.SealKeys)
	if err != nil {
		return nil, fmt.Errorf("sign callback: %w", err)
	}
	back := job.Callback{QueueName: j.QueueName, Ref: j.Ref(), AttemptCount: j.AttemptCount, ExpiresAt: now.Add(job.MaxCallbackTime).Truncate(time.Second)}
	token, err := back.Token(keys)
	if err != nil {
		return nil, fmt.Errorf("sign callback: %w", err)
	}
	return &callbackFacts{URL: c.base + CallbackPath, Token: token, ExpiresAt: back.ExpiresAt.UTC()}, nil
}

// await returns when the attempt is over: with what its receiver has told Postgres, or,
// when nothing came until deadline and no more time was asked for, as failed.
func (c *calls) await(ctx context.Context, j *workers.Job, deadline time.Time) error {
	ref := j.Ref()
	o := &openCall{job: j, state: make(chan openAnswer, 1)}
	c.mu.Lock()
	c.open[ref] = o
	c.mu.Unlock()
	c.m.open.WithLabelValues(j.QueueName).Inc()
	defer func() {
		c.mu.Lock()
		delete(c.open, ref)
		c.mu.Unlock()
		c.m.open.WithLabelValues(j.QueueName).Dec()
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s := <-o.state:
			switch {
			case !s.Open:
				return workers.Settled(s.Ended)
			case s.Extended:
				deadline = s.asked.Add(s.Left)
			}
			if !s.asked.Before(deadline) { // asked before it, Postgres may have more to say now
				return errors.New("the receiver answered that it would call back, and did not in time")
			}
		}
	}
}

// run asks Postgres about what is open until ctx ends.
func (c *calls) run(ctx context.Context) {
	t := time.NewTicker(askEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.look(ctx)
		}
	}
}

func (c *calls) look(ctx context.Context) {
	for part := range slices.Chunk(c.asked(), job.MaxBatch) {
		at := time.Now()
		asking, stop := context.WithTimeout(ctx, storeTime)
		states, err := c.store.OpenAttempts(asking, part)
		stop()
		if err != nil {
			if !c.blind && ctx.Err() == nil {
				c.log.WarnContext(ctx, "attempts that wait for callbacks cannot be looked at", keyCount, len(part), keyError, err)
			}
			c.blind = true
			return
		}
		c.blind = false
		c.tell(states, at)
	}
}

func (c *calls) asked() []job.OpenAttempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]job.OpenAttempt, 0, len(c.open))
	for ref, o := range c.open {
		all = append(all, job.OpenAttempt{Ref: ref, HeldAs: o.job.Fence(), AttemptCount: o.job.AttemptCount})
	}
	return all
}

// tell hands over what Postgres has said. A state that nobody has looked at yet is
// replaced: the newest counts.
func (c *calls) tell(states []job.OpenState, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range states {
		o := c.open[s.Ref]
		if o == nil {
			continue
		}
		select {
		case <-o.state:
		default:
		}
		o.state <- openAnswer{s, asked} // it has room: only tell fills it, and holds mu
	}
}
