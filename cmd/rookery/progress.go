package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// progress is a line on a terminal that says how far long work is; elsewhere nothing.
type progress struct {
	out   io.Writer
	what  string
	total int64 // 0: nobody knows
	shown bool
}

func newProgress(f *os.File, what string) *progress {
	info, err := f.Stat()
	return &progress{out: f, what: what, shown: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

// show draws the line anew.
func (p *progress) show(done int64) {
	if !p.shown {
		return
	}
	text := fmt.Sprintf("%s: %d jobs", p.what, done)
	if p.total > 0 {
		const width = 30
		part := min(done, p.total)
		full := int(part * width / p.total)
		text = fmt.Sprintf("%s [%s%s] %d of %d", p.what, strings.Repeat("#", full), strings.Repeat(".", width-full), done, p.total)
	}
	fmt.Fprintf(p.out, "\r%s\x1b[K", text)
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
