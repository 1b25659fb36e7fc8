package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Listener is one session that LISTENs for wakes and, while its relay is awake,
// holds the gate: the advisory lock that tells producers not to notify. Both live
// and die with the session. The session never opens a transaction, is pinged every
// second, and is ended by Postgres when it is silent for three: a relay that is
// frozen loses the gate instead of muting everybody.
type Listener struct {
	config *pgx.ConnConfig
	log    *slog.Logger
	woken  chan struct{} // 1: a wake that is not read yet stands for all
	orders chan order
	lost   bool // it has had a session before; Run's own
	held   keys // by the present session; Run's own, and exact: an order that fails ends the session
}

// order is something to be done on the session between two notifications.
type order struct {
	run  func(context.Context, *query.Queries) error
	done chan error // 1, so that the session never waits for an order's giver
}

const (
	pingEvery  = time.Second
	orderLimit = 2 * time.Second
	// listenerPause is the first pause before a session is made anew; it doubles to 5 s.
	listenerPause = 100 * time.Millisecond
)

// errDeaf: notifications do not arrive, because a pooler stands in between.
var errDeaf = errors.New("notifications do not arrive: a pooler stands in front of Postgres; give the relay a direct DATABASE_LISTEN_URL")

// NewListener makes a Listener that has not connected yet; the error is about url.
func NewListener(url string, log *slog.Logger) (*Listener, error) {
	c, err := parse(url)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.Default()
	}
	config := c.ConnConfig
	config.RuntimeParams["application_name"] = "rookery listener"
	return &Listener{config: config, log: log, woken: make(chan struct{}, 1), orders: make(chan order)}, nil
}

// Woken receives when somebody has filed due jobs, and whenever the session was
// made anew: a notification may have been missed.
func (l *Listener) Woken() <-chan struct{} { return l.woken }

// Run keeps the session until ctx ends. While there is none the relay's safety
// poll finds the jobs.
func (l *Listener) Run(ctx context.Context) error {
	pause, told := listenerPause, false
	for ctx.Err() == nil {
		listened, err := l.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if listened {
			pause, told = listenerPause, false
		}
		if !told { // once a fault, not once a try
			l.log.WarnContext(ctx, "listener has no session; polling until it is back", "error", err)
			told = true
		}
		l.refuse(ctx, pause)
		pause = min(2*pause, 5*time.Second)
	}
	return nil
}

// refuse answers orders, for a while, with the fact that there is no session.
func (l *Listener) refuse(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case o := <-l.orders:
			o.done <- fmt.Errorf("listener has no session: %w", job.ErrUnavailable)
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// session keeps one session until it breaks; listened says that it was of use.
func (l *Listener) session(ctx context.Context) (listened bool, err error) {
	c, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return false, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Close(closing) // the server ends a session it does not hear of
	}()
	if err := l.begin(ctx, c); err != nil {
		if errors.Is(err, errDeaf) {
			l.refuse(ctx, time.Minute)
		}
		return false, err
	}
	if l.lost {
		l.log.InfoContext(ctx, "listener is back")
	}
	l.lost = true // as soon as this one ends
	l.held = keys{}
	l.wake()
	spoke := time.Now()
	for {
		if err := l.step(ctx, c, &spoke); err != nil {
			return true, err
		}
	}
}

// begin listens, and makes sure that notifications arrive: LISTEN through a pooler
// in transaction mode "succeeds" and never delivers.
func (l *Listener) begin(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pid, err := query.New(c).Ping(ctx)
	if err != nil {
		return err
	}
	if uint32(pid) != c.PgConn().PID() {
		return errDeaf
	}
	// SET and LISTEN are no statements sqlc takes.
	if _, err := c.Exec(ctx, "SET idle_session_timeout = '3s'"); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "LISTEN outbox"); err != nil {
		return err
	}
	other, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return err
	}
	err = query.New(other).Notify(ctx, "are you there")
	if err = errors.Join(err, other.Close(ctx)); err != nil {
		return err
	}
	heard, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.WaitForNotification(heard); err != nil {
		return errDeaf
	}
	return nil
}

// step waits for a notification, an order, or the time for a ping. What the server
// sends does not keep the session from being idle: only what we say does, last at
// spoke.
func (l *Listener) step(ctx context.Context, c *pgx.Conn, spoke *time.Time) error {
	wait, cancel := context.WithDeadline(ctx, spoke.Add(pingEvery))
	defer cancel()
	given := make(chan *order, 1)
	go func() {
		select {
		case o := <-l.orders:
			cancel()
			given <- &o
		case <-wait.Done():
			given <- nil
		}
	}()
	_, err := c.WaitForNotification(wait)
	ended := wait.Err() != nil
	cancel()
	o := <-given // the goroutine has ended

	switch {
	case err == nil:
		l.wake()
	case ctx.Err() != nil || !ended:
		if o != nil {
			o.done <- fmt.Errorf("listener lost its session: %w", job.ErrUnavailable)
		}
		return err
	}
	if o != nil {
		*spoke = time.Now()
		return l.carryOut(ctx, c, o)
	}
	if err != nil { // a second without a word of ours
		*spoke = time.Now()
		return l.carryOut(ctx, c, &order{done: make(chan error, 1), run: func(ctx context.Context, q *query.Queries) error {
			_, err := q.Ping(ctx)
			return err
		}})
	}
	return nil
}

func (l *Listener) carryOut(ctx context.Context, c *pgx.Conn, o *order) error {
	ctx, cancel := context.WithTimeout(ctx, orderLimit)
	defer cancel()
	err := translate("listener", o.run(ctx, query.New(c)))
	o.done <- err
	return err
}

func (l *Listener) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// order has something done on the session.
func (l *Listener) order(ctx context.Context, run func(context.Context, *query.Queries) error) error {
	ctx, cancel := context.WithTimeout(ctx, orderLimit)
	defer cancel()
	o := order{run: run, done: make(chan error, 1)}
	select {
	case l.orders <- o:
	case <-ctx.Done():
		return fmt.Errorf("listener: %w: %w", job.ErrUnavailable, ctx.Err())
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("listener: %w: %w", job.ErrUnavailable, ctx.Err())
	}
}

// ask has something asked on the session.
func ask[V any](ctx context.Context, l *Listener, run func(context.Context, *query.Queries) (V, error)) (V, error) {
	answer := make(chan V, 1) // not a variable: who gives up no longer reads it
	err := l.order(ctx, func(ctx context.Context, q *query.Queries) error {
		v, err := run(ctx, q)
		answer <- v
		return err
	})
	if err != nil {
		var none V
		return none, err
	}
	return <-answer, nil
}

// Hold closes the gate, and reports whether this session now holds it. Another
// awake relay may hold it already: then producers are muted all the same.
func (l *Listener) Hold(ctx context.Context) (bool, error) {
	return l.settle(ctx, func() keys { return keys{gate: true} })
}

// Release opens the gate and draws the horizon: the relay must go on claiming until
// passed says true, because until then a producer may still be open that saw the
// gate closed, and its commit will wake nobody.
func (l *Listener) Release(ctx context.Context) (passed func(context.Context) (bool, error), err error) {
	return l.unmute(ctx, func() keys { return keys{} })
}
