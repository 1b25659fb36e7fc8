package db

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
)

// Tail wakes a relay by tailing the WAL (wake: wal): a producer's transaction carries
// a message, so its commit takes none of NOTIFY's database-wide lock. It is a
// [Listener] and a replication session beside it, and works as the Listener alone
// while it cannot tail, so it is never worse than NOTIFY.
//
//	Tail      relay    gate (1)  tail (2)  an insert        woken by
//	tails     sleeps   held      held      sends a message  the message
//	tails     is hot   held      free      is silent        nobody: it polls
//	does not  sleeps   free      free      notifies         the notification
//	does not  is hot   held      free      is silent        nobody: it polls
//
// Both keys are held by the Listener's session, the second never without the first.
// So they vanish together, and NOTIFY is back by itself, when the relay dies, and
// within three seconds when it is frozen or cut off: the session is pinged every
// second and ended by Postgres when it is silent for three. When the tail alone
// breaks, the relay gives both keys back at once: it sees the end of its replication
// session, or that three questions in a row, one a second, got no answer. What was
// sent to nobody in between is found by the relay's poll, within a second: the safety
// poll is needed here as everywhere.
//
// Of several relays any number may tail, each with a slot of its own, and all are
// woken by a message; one has the keys. Another asks for them every second, and is
// meanwhile woken by whatever producers send. One that does not tail is woken by its
// poll alone while another holds the gate.
//
// A message can be read before its rows can be seen, so it wakes when Postgres says
// that its transaction is visible: exact where polling some milliseconds would be
// too short (a slow synchronous standby) or for nothing. A relay that is hot is not
// woken: it polls, and its horizon waits for every transaction that is not visible.
//
// A message comes late after a foreign bulk transaction (1.5 million rows: 1.7 s) and
// from producers with synchronous_commit = off (0.2 to 0.4 s); then the poll is first.
type Tail struct {
	listener *Listener
	config   *pgconn.Config // of the replication session
	log      *slog.Logger
	metrics  tailMetrics
	changed  chan struct{} // 1: live has changed
	arrived  chan struct{} // 1: xids has some

	mu   sync.Mutex // guards what follows
	live bool       // the WAL is being read
	hot  bool       // the relay polls
	xids []int64    // transactions that sent a message, not looked at yet
}

// TailOptions tunes a [Tail]. The zero value works.
type TailOptions struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: not registered
}

// tailKeep is how often the keys are asked for that another session had.
const tailKeep = time.Second

// NewTail makes a Tail that has not connected yet; the error is about url.
func NewTail(url string, o TailOptions) (*Tail, error) {
	l, err := NewListener(url, o.Logger)
	if err != nil {
		return nil, err
	}
	config, err := streamConfig(url)
	if err != nil {
		return nil, err
	}
	m, err := newTailMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Tail{
		listener: l, config: config, log: l.log, metrics: m,
		changed: make(chan struct{}, 1), arrived: make(chan struct{}, 1),
	}, nil
}

// Run listens and tails until ctx ends. It leaves no slot behind.
func (t *Tail) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, run := range []func(context.Context){t.follow, t.keep, t.announce} {
		running.Go(func() { run(ctx) })
	}
	err := t.listener.Run(ctx)
	cancel()
	running.Wait()
	return err
}

// Woken receives as a Listener's does, and when a transaction that sent a message
// has become visible.
func (t *Tail) Woken() <-chan struct{} { return t.listener.Woken() }

// Hold silences producers, and reports whether this relay does: it polls from now on.
func (t *Tail) Hold(ctx context.Context) (bool, error) {
	t.setHot(true)
	return t.listener.settle(ctx, t.wanted)
}

// Release has producers wake this relay again: by messages behind a closed gate
// while it tails, else by notifications. passed is that of [Listener.Release].
func (t *Tail) Release(ctx context.Context) (passed func(context.Context) (bool, error), err error) {
	t.setHot(false)
	return t.listener.unmute(ctx, t.wanted)
}

// wanted is the table above.
func (t *Tail) wanted() keys {
	t.mu.Lock()
	defer t.mu.Unlock()
	return keys{gate: t.live || t.hot, tail: t.live && !t.hot}
}

func (t *Tail) setHot(hot bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hot = hot
}

func (t *Tail) setLive(live bool) {
	t.mu.Lock()
	t.live = live
	t.mu.Unlock()
	signal(t.changed)
}

func (t *Tail) isLive() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live
}

// keep has the session hold the keys that are wanted: as soon as the tail begins or
// ends, and again every second, because another relay may have had them, or a new
// session has none yet.
func (t *Tail) keep(ctx context.Context) {
	every := time.NewTicker(tailKeep)
	defer every.Stop()
	lost := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.changed:
			lost = true
		case <-every.C:
		}
		// An error ends the session, and the keys with it.
		if _, err := t.listener.settle(ctx, t.wanted); err == nil && lost && !t.isLive() {
			t.listener.wake() // who sent a message to nobody may have committed
			lost = false
		}
	}
}

// signal says something once to who has not heard it yet.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tailMetrics are a Tail's own.
type tailMetrics struct {
	tailing   prometheus.Gauge
	fallbacks prometheus.Counter
}

func newTailMetrics(reg prometheus.Registerer) (tailMetrics, error) {
	m := tailMetrics{
		tailing:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "rookery_relay_wal_tailing", Help: "1 while this relay tails the WAL."}),
		fallbacks: prometheus.NewCounter(prometheus.CounterOpts{Name: "rookery_relay_wal_fallbacks_total", Help: "Times this relay could not tail the WAL, or no longer, and NOTIFY took over."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.tailing, m.fallbacks} {
		if err := reg.Register(c); err != nil {
			return m, err
		}
	}
	return m, nil
}
