package stage

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// echoing starts a server that sends back every line, and a stage that has nothing
// but a link to it.
func echoing(t *testing.T) (*Stage, *Link) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	log, err := history.Open(filepath.Join(t.TempDir(), "history"), "stage")
	if err != nil {
		t.Fatal(err)
	}
	s := &Stage{Log: log, links: map[string]*Link{}, targets: map[Server]string{Redis: ln.Addr().String()}, hub: newHub()}
	t.Cleanup(func() { s.hub.close(); _ = log.Close() })
	l, err := s.Link("w1", Redis)
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

// says sends a line and waits for it to come back for a moment.
func says(t *testing.T, c net.Conn) error {
	t.Helper()
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestLink_CutRefusesUntilMended(t *testing.T) {
	_, l := echoing(t)
	c := dial(t, l)
	if err := says(t, c); err != nil {
		t.Fatalf("through a whole link: %v", err)
	}
	l.Cut()
	if err := says(t, c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("through a cut link: %v, want a closed connection", err)
	}
	if c, err := net.Dial("tcp", l.Addr()); err == nil {
		t.Error("a cut link lets in a new connection")
		_ = c.Close()
	}
	if err := l.Mend(); err != nil {
		t.Fatal(err)
	}
	if err := says(t, dial(t, l)); err != nil {
		t.Errorf("through a mended link: %v", err)
	}
}

func TestLink_SwallowsOneWayAndStaysOpen(t *testing.T) {
	for _, way := range []Way{Up, Down} {
		_, l := echoing(t)
		old := dial(t, l)
		if err := says(t, old); err != nil {
			t.Fatal(err)
		}
		if err := l.Swallow(way); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]net.Conn{"an old": old, "a new": dial(t, l)} {
			if err := says(t, c); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s connection through a link that swallows %s: %v, want silence", name, way, err)
			}
		}
		if err := l.Mend(); err != nil {
			t.Fatal(err)
		}
		if err := says(t, dial(t, l)); err != nil {
			t.Errorf("through a mended link: %v", err)
		}
	}
}

func TestLink_SlowKeepsTheConnection(t *testing.T) {
	_, l := echoing(t)
	c := dial(t, l)
	if err := says(t, c); err != nil {
		t.Fatal(err)
	}
	if err := l.Slow(100 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := says(t, c); err != nil || time.Since(start) < 200*time.Millisecond {
		t.Errorf("through a link slow by 100 ms each way: %v after %s, want an answer after 200 ms", err, time.Since(start))
	}
}

func TestLink_NotesWhatItDoes(t *testing.T) {
	s, l := echoing(t)
	l.Cut()
	if err := l.Mend(); err != nil {
		t.Fatal(err)
	}
	if err := l.Slow(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	acts, err := history.Read(s.Log.Path())
	if err != nil || len(acts) != 3 {
		t.Fatalf("the history has %+v, %v, want three acts", acts, err)
	}
	for i, want := range []history.Act{
		{Word: history.Fault, Cause: history.CutRedis}, {Word: history.Lifted, Cause: history.CutRedis}, {Word: history.Fault, Cause: history.Other},
	} {
		if a := acts[i]; a.Word != want.Word || a.Cause != want.Cause || a.Target != "w1" {
			t.Errorf("act %d = %+v, want %s of %s for w1", i, a, want.Word, want.Cause)
		}
	}
}
