package httpapi

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// The limits of the stream of events.
const (
	maxListeners   = 256              // of a server
	maxOfKey       = 16               // of a key, on a server
	eventPause     = time.Second / 2  // between two looks, however many listen
	figuresPause   = 2 * time.Second  // between two looks at the queues
	eventReopen    = time.Minute      // how often the gate is told that somebody listens
	listenerBuffer = 16               // pages that a slow reader may be behind
	streamPing     = 15 * time.Second // a comment, so that nothing in between thinks the stream dead; the key is looked at anew
	streamLife     = 10 * time.Minute // then the client comes again
	streamWrite    = 5 * time.Second  // how long a client may take for a page
)

// Events is what became of jobs: Postgres.
type Events interface {
	// OpenEvents has it noted for [job.EventsKept] from now on, or, long, for
	// [job.EventsKeptLong].
	OpenEvents(ctx context.Context, long bool) error
	// EventsSince returns where an export begins that wants what is kept since a moment.
	EventsSince(ctx context.Context, since time.Time) (job.ExportStart, error)
	// Events returns a page of what lies behind a cursor; the zero one is the present.
	Events(ctx context.Context, from job.EventCursor, detail bool) (job.EventPage, error)
}

// queueStatus is the figures of a queue in the stream: those of queueLoad that stand
// still while nothing happens.
type queueStatus struct {
	QueueName string `json:"queue_name"`
	Paused    bool   `json:"paused"`
	Ready     int64  `json:"ready"`
	Scheduled int64  `json:"scheduled"`
	Out       int64  `json:"out"`
	Waiting   *int64 `json:"waiting"`
	Leased    *int64 `json:"leased"`
	load
}

// bulletin is what all listeners are told at once; each passes on what its client
// asked for and may see.
type bulletin struct {
	page   job.EventPage // Gap and all; only of events when Next is set
	queues []queueStatus // that have changed
}

// listener is one stream.
type listener struct {
	key  string
	news chan bulletin // closed by the hub when the listener is too slow
}

// hub reads events once for all that listen. It has no goroutine: listeners take turns
// to look. With nobody listening nothing is read and nothing is noted.
type hub struct {
	events Events
	loads  func(context.Context) ([]job.QueueStats, error)
	closed chan struct{}
	ending sync.Once

	mu        sync.Mutex
	listeners map[*listener]bool
	at        job.EventCursor // how far all of them have been told; zero: nobody listens
	queues    map[string]string
	busy      bool      // somebody looks
	lookedAt  time.Time // and when that began
	openedAt  time.Time
	figuresAt time.Time
}

func newHub(events Events, loads func(context.Context) ([]job.QueueStats, error)) *hub {
	return &hub{events: events, loads: loads, closed: make(chan struct{}), listeners: map[*listener]bool{}, queues: map[string]string{}}
}

// close ends all streams.
func (h *hub) close() { h.ending.Do(func() { close(h.closed) }) }

// join adds a listener, or returns a problem. It hears all that comes after the cursor that
// is returned.
func (h *hub) join(ctx context.Context, key string) (*listener, job.EventCursor, []queueStatus, error) {
	l := &listener{key: key, news: make(chan bulletin, listenerBuffer)}
	if err := h.admit(l); err != nil {
		return nil, job.EventCursor{}, nil, err
	}
	for {
		if err := h.turn(ctx); err != nil {
			h.leave(l)
			return nil, job.EventCursor{}, nil, err
		}
		h.mu.Lock()
		if h.at.Since != "" {
			break
		}
		h.mu.Unlock() // somebody else makes the first look
		select {
		case <-time.After(eventPause / 5):
		case <-ctx.Done():
			h.leave(l)
			return nil, job.EventCursor{}, nil, ctx.Err()
		}
	}
	defer h.mu.Unlock()
	var known []queueStatus
	for _, text := range h.queues {
		var q queueStatus
		if json.Unmarshal([]byte(text), &q) == nil {
			known = append(known, q)
		}
	}
	for len(l.news) > 0 { // of before this moment
		<-l.news
	}
	return l, h.at, known, nil
}

func (h *hub) admit(l *listener) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := 0
	for other := range h.listeners {
		if other.key == l.key {
			of++
		}
	}
	switch {
	case len(h.listeners) >= maxListeners:
		return tooMany("256 clients listen to this server", streamPing)
	case of >= maxOfKey:
		return tooMany("a key may listen 16 times to a server", streamPing)
	}
	h.listeners[l] = true
	return nil
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
	if len(h.listeners) == 0 && !h.busy {
		h.forgetLocked()
	}
}

// forgetLocked has the next listener begin with the present.
func (h *hub) forgetLocked() {
	h.at = job.EventCursor{}
	clear(h.queues)
	h.figuresAt, h.openedAt = time.Time{}, time.Time{}
}

// turn looks at what is new and tells it, unless somebody else does or just did.
func (h *hub) turn(ctx context.Context) error {
	h.mu.Lock()
	if h.busy || h.at.Since != "" && time.Since(h.lookedAt) < eventPause {
		h.mu.Unlock()
		return nil
	}
	h.busy, h.lookedAt = true, time.Now()
	at, open, figures := h.at, time.Since(h.openedAt) > eventReopen, time.Since(h.figuresAt) > figuresPause
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.busy = false
		if len(h.listeners) == 0 {
			h.forgetLocked()
		}
	}()
	return h.look(ctx, at, open, figures)
}

func (h *hub) look(ctx context.Context, at job.EventCursor, open, figures bool) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if open {
		if err := h.events.OpenEvents(ctx, false); err != nil {
			return err
		}
	}
	if figures {
		stats, err := h.loads(ctx)
		if err != nil {
			return err
		}
		h.tellQueues(stats)
	}
	for more := true; more; {
		page, err := h.events.Events(ctx, at, false)
		if err != nil {
			return err
		}
		at, more = page.Next, page.More
		h.mu.Lock()
		if h.at = at; open {
			h.openedAt = time.Now()
		}
		h.tellLocked(bulletin{page: page})
		h.mu.Unlock()
	}
	return nil
}

// tellQueues tells of queues whose figures are not those of the last time.
func (h *hub) tellQueues(stats []job.QueueStats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.figuresAt = time.Now()
	var b bulletin
	for _, q := range stats {
		l := queueLoadOf(q)
		is := queueStatus{l.QueueName, l.Paused, l.Ready, l.Scheduled, l.Out, l.Waiting, l.Leased, l.load}
		text, _ := json.Marshal(is) // numbers and strings: cannot fail
		if h.queues[q.Name] != string(text) {
			h.queues[q.Name], b.queues = string(text), append(b.queues, is)
		}
	}
	if len(b.queues) > 0 {
		h.tellLocked(b)
	}
}

// tellLocked tells everybody, and lets go of those who are too far behind.
func (h *hub) tellLocked(b bulletin) {
	for l := range h.listeners {
		select {
		case l.news <- b:
		default:
			delete(h.listeners, l)
			close(l.news)
		}
	}
}
