package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// board is where the demo writes: lines that stay, and, on a terminal, one line at
// the bottom that is written over. It is safe for concurrent use.
type board struct {
	out   io.Writer
	width int // of the terminal; 0 when out is none
	start time.Time

	mu    sync.Mutex
	shown int // characters of the progress line on the screen
	state progress
}

// progress is what the line shows.
type progress struct {
	committed, delivered int
	rate                 float64 // mails a second
}

func (p progress) waiting() int { return max(p.committed-p.delivered, 0) }

func newBoard(out *os.File) *board {
	b := &board{out: out, start: time.Now()}
	if term.IsTerminal(int(out.Fd())) {
		b.width = 80
		if width, _, err := term.GetSize(int(out.Fd())); err == nil && width > 0 {
			b.width = width
		}
	}
	return b
}

// say writes a line that stays.
func (b *board) say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clearLocked()
	fmt.Fprintf(b.out, format+"\n", args...)
}

// event writes a line that stays, with the seconds since the clock was started.
func (b *board) event(text string) { b.say("%s  %s", b.clock(), text) }

// restart sets the clock to 0.
func (b *board) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start = time.Now()
}

func (b *board) clock() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("%6.1f s", time.Since(b.start).Seconds())
}

// waiting returns how much mail was under way when the line was last written.
func (b *board) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.waiting()
}

// follow asks look for the state again and again, until ctx ends: four times a
// second on a terminal, every three seconds a line elsewhere. The state itself is
// always at most a quarter of a second old, because shots are aimed by it.
func (b *board) follow(ctx context.Context, look func(context.Context) (committed, delivered int, err error)) {
	const step = 250 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	before, rate := 0, 0.0
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			b.mu.Lock()
			b.clearLocked()
			b.mu.Unlock()
			return
		case <-tick.C:
		}
		committed, delivered, err := look(ctx)
		if err != nil {
			continue // the line stays as it was; whoever needs the answer asks himself
		}
		rate = 0.75*rate + 0.25*float64(delivered-before)/step.Seconds()
		before = delivered
		b.show(progress{committed, delivered, rate}, n%12 == 0)
	}
}

// show keeps the state and draws it, on anything but a terminal only when due.
func (b *board) show(p progress, due bool) {
	clock := b.clock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = p
	line := fmt.Sprintf("%s  committed %s · delivered %s · waiting %s · %s/s", clock,
		thousands(p.committed), thousands(p.delivered), thousands(p.waiting()), thousands(int(p.rate)))
	switch {
	case b.width > utf8.RuneCountInString(line):
		b.clearLocked()
		fmt.Fprint(b.out, line)
		b.shown = utf8.RuneCountInString(line)
	case b.width == 0 && due:
		fmt.Fprintln(b.out, line)
	}
}

// clearLocked wipes the progress line off the screen.
func (b *board) clearLocked() {
	if b.shown > 0 {
		fmt.Fprintf(b.out, "\r%*s\r", b.shown, "")
		b.shown = 0
	}
}

// thousands returns n as people read it: 12,345.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
