package actor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// errFirst is what the first attempt of every n-th job returns.
var errFirst = errors.New("the first attempt of this job fails")

// Work runs jobs until in is closed, and says on out how many.
func Work(ctx context.Context, sys System, s Servers, o WorkOptions, in io.Reader, out *Lines) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	h := &handling{o: o, failed: map[int64]bool{}}
	before := allocated()
	told := make(chan struct{})
	go func() { defer close(told); h.tell(ctx, out) }()
	err := sys.Work(ctx, s, o, func() { out.Write(map[string]any{"ready": true}) }, h.run)
	cancel()
	<-told
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("work of %s: %w", o.System, err)
	}
	after := allocated()
	if o.Record != "" {
		if err := record(o.Record, h.seen, false); err != nil {
			return err
		}
	}
	out.Write(map[string]any{"done": true, "jobs": h.ran.Load(), "mallocs": after.Mallocs - before.Mallocs, "bytes": after.TotalAlloc - before.TotalAlloc})
	return nil
}

// handling is what all attempts of a worker process share.
type handling struct {
	o   WorkOptions
	ran atomic.Int64

	mu     sync.Mutex
	failed map[int64]bool // jobs whose first attempt has failed here
	seen   []moments
}

func (h *handling) run(ctx context.Context, payload []byte) error {
	var m moments
	if h.o.Record != "" || h.o.FailEvery > 0 {
		m.a = time.Now().UnixNano()
		n, err := number(payload)
		if err != nil {
			return err
		}
		m.n = n
	}
	if h.o.Sleep > 0 {
		sleepUntil(ctx, time.Now().Add(h.o.Sleep))
	}
	if h.o.FailEvery > 0 && m.n%h.o.FailEvery == 0 {
		h.mu.Lock()
		again := h.failed[m.n]
		h.failed[m.n] = true
		h.mu.Unlock()
		if !again {
			return errFirst
		}
	}
	if h.o.Record != "" {
		m.b = time.Now().UnixNano()
		h.mu.Lock()
		h.seen = append(h.seen, m)
		h.mu.Unlock()
	}
	h.ran.Add(1)
	return nil
}

func (h *handling) tell(ctx context.Context, out *Lines) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	var told int64
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		if n := h.ran.Load(); n != told {
			told = n
			out.Write(map[string]any{"ran": n})
		}
	}
}

// number reads the job's number, the first field of a payload. Postgres prints
// jsonb with a blank after the colon, and may put other short names before it.
func number(payload []byte) (int64, error) {
	i := bytes.Index(payload, []byte(`"n":`))
	if i < 0 {
		return 0, fmt.Errorf("payload without n: %.40q", payload)
	}
	var n int64
	rest := bytes.TrimLeft(payload[i+4:], " ")
	for j, c := range rest {
		if c < '0' || c > '9' {
			if j == 0 {
				break
			}
			return n, nil
		}
		n = 10*n + int64(c-'0')
	}
	return 0, fmt.Errorf("payload whose n is no number: %.40q", payload)
}

// Lines writes one JSON object a line. It is safe for concurrent use.
type Lines struct {
	mu sync.Mutex
	w  io.Writer
}

// NewLines returns Lines that write to w.
func NewLines(w io.Writer) *Lines { return &Lines{w: w} }

// Write writes one object. A reader that has gone away is no concern of the actor's:
// its stdin ends too.
func (l *Lines) Write(v map[string]any) {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers, booleans and strings only
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(append(line, '\n'))
}
