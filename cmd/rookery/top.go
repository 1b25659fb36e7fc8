package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/penguinmails/rookery"
)

// What a terminal is told, ECMA-48 and xterm's other screen.
const (
	otherScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // no cursor, and long lines are cut
	ownScreen   = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	toTheTop    = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
	bold, plain = "\x1b[1m", "\x1b[0m"
)

func topCommand(s *settings) *cobra.Command {
	var every time.Duration
	c := &cobra.Command{
		Use: "top [--every 2s]", Short: "Watch queues, workers and what is wrong; q ends it", Args: noArgs,
		Long: `Watch queues, workers and what is wrong, in a terminal: q, Escape or Ctrl-C ends it,
and a key such as space looks at once. Where the output is no terminal, and with -o
json, it looks once and prints that.

WORK is how long what is due lasts at the rate of the last minutes, RATE how many
attempts end a second.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < time.Second/2 || every > time.Hour {
				return &usageError{fmt.Errorf("--every is %s, must be 500ms to 1h", every)}
			}
			config, err := s.load()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			return withService(ctx, config, func(ctx context.Context, svc *rookery.Service) error {
				jobs, err := svc.Jobs(ctx)
				if err != nil {
					return err
				}
				if s.json || !term.IsTerminal(int(os.Stdout.Fd())) || !term.IsTerminal(int(os.Stdin.Fd())) {
					return topOnce(ctx, s, jobs)
				}
				return watchTop(ctx, every, func(ctx context.Context) (overview, error) { return lookTop(ctx, jobs) })
			})
		},
	}
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often to look")
	return c
}

// lookTop is one look, which a terminal must not wait for too long.
func lookTop(ctx context.Context, jobs *rookery.Jobs) (v overview, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if v.Queues, err = jobs.Queues(ctx); err != nil {
		return v, err
	}
	v.Processes, err = jobs.Processes(ctx, "")
	v.At = time.Now()
	return v, err
}

func topOnce(ctx context.Context, s *settings, jobs *rookery.Jobs) error {
	v, err := lookTop(ctx, jobs)
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(v.shown())
	}
	_, err = fmt.Print(strings.Join(v.lines(0), "\n"), "\n")
	return err
}

// watchTop draws until the user or ctx ends it, and leaves the terminal as it was.
func watchTop(ctx context.Context, every time.Duration, look func(context.Context) (overview, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, out := int(os.Stdin.Fd()), os.Stdout
	was, err := term.MakeRaw(in)
	if err != nil {
		return fmt.Errorf("set up terminal: %w", err)
	}
	fmt.Fprint(out, otherScreen)
	defer func() {
		fmt.Fprint(out, ownScreen)
		_ = term.Restore(in, was)
	}()
	resized := make(chan os.Signal, 1) // 1: one more drawing is enough
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	keys := make(chan byte)
	go readKeys(ctx, os.Stdin, keys) // a read of a terminal cannot be called off: it ends with the process

	looks := time.NewTicker(every)
	defer looks.Stop()
	seen, fault := look(ctx)
	for {
		w, h, err := term.GetSize(int(out.Fd()))
		if err != nil || w < 1 || h < 1 {
			w, h = 80, 24
		}
		if _, err := out.WriteString(drawn(seen, fault, w, h)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
			continue
		case key, open := <-keys:
			if !open || key == 'q' || key == 'Q' || key == 3 || key == 0x1b { // Ctrl-C, Escape
				return nil
			}
		case <-looks.C:
		}
		if next, err := look(ctx); err == nil {
			seen, fault = next, nil
		} else {
			fault = err // what was seen last stays, and is said to be old
		}
	}
}

func readKeys(ctx context.Context, in io.Reader, keys chan<- byte) {
	defer close(keys)
	key := make([]byte, 1)
	for {
		if n, err := in.Read(key); n == 0 || err != nil {
			return
		}
		select {
		case keys <- key[0]:
		case <-ctx.Done():
			return
		}
	}
}

// drawn is a screen of w columns and h lines. It overwrites what is there, so nothing
// flickers.
func drawn(v overview, fault error, w, h int) string {
	lines := v.lines(h - 1)
	if fault != nil {
		lines[0] = "rookery top: no answer since " + v.At.Format(time.TimeOnly) + ": " + printable(fault.Error())
	}
	var b bytes.Buffer
	b.WriteString(toTheTop)
	for i, line := range lines {
		if i == h-1 {
			break
		}
		line = clip(line, w)
		if isHead(lines, i) {
			line = bold + line + plain
		}
		b.WriteString(line + restOfLine + "\r\n")
	}
	b.WriteString(restBelow + clip("q quits, space looks now", w))
	return b.String()
}

// isHead reports whether a line begins a part of the screen.
func isHead(lines []string, i int) bool { return i == 0 || lines[i-1] == "" }

// clip cuts a line to so many columns; what is in it is one column a character.
func clip(line string, w int) string {
	if c := []rune(line); len(c) > w {
		return string(c[:w])
	}
	return line
}
