package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/penguinmails/rookery/job"
)

// progress is a line on a terminal that says how far long work is; elsewhere nothing.
type progress struct {
	out   io.Writer
	what  string
	shown bool
}

func newProgress(f *os.File, what string) *progress {
	info, err := f.Stat()
	return &progress{out: f, what: what, shown: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

// show draws the line anew, with a bar when it is known how much there is.
func (p *progress) show(o job.Operation) {
	if !p.shown {
		return
	}
	text := fmt.Sprintf("%s: %d jobs", p.what, o.Matched)
	if o.Share != nil {
		const width = 30
		full := int(*o.Share * width)
		text = fmt.Sprintf("%s [%s%s] ", p.what, strings.Repeat("#", full), strings.Repeat(".", width-full))
		if o.Total != nil {
			text += fmt.Sprintf("%d of %d", o.Matched, *o.Total)
		} else {
			text += fmt.Sprintf("%d %% of all ids, %d jobs", int(*o.Share*100), o.Matched)
		}
	}
	fmt.Fprintf(p.out, "\r%s\x1b[K", text)
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
