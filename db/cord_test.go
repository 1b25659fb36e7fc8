package db_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cord is a TCP connection between a test and its server that can freeze: nothing
// passes any more, not even a close, as if one end were stopped.
type cord struct {
	listener net.Listener
	to       string

	mu     sync.Mutex // guards what follows
	thawed *sync.Cond
	frozen bool
	ended  bool
	conns  []net.Conn
}

func newCord(t *testing.T, to string) *cord {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cord{listener: l, to: to}
	c.thawed = sync.NewCond(&c.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil || !c.add(in, out) {
				_ = in.Close()
				continue
			}
			running.Go(func() { c.carry(in, out) })
			running.Go(func() { c.carry(out, in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		running.Wait()
	})
	return c
}

func (c *cord) addr() string { return c.listener.Addr().String() }

func (c *cord) freeze() { c.set(true) }

func (c *cord) thaw() { c.set(false) }

func (c *cord) set(frozen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = frozen
	c.thawed.Broadcast()
}

func (c *cord) add(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conns...)
	return !c.ended
}

// carried is how many connections there have been.
func (c *cord) carried() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conns) / 2
}

// cut ends every connection, frozen or not.
func (c *cord) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.thawed.Broadcast()
}

// carry copies from one end to the other, and the end of one to the other.
func (c *cord) carry(from io.Reader, to io.WriteCloser) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		for c.frozen && !c.ended {
			c.thawed.Wait()
		}
		c.mu.Unlock()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			_ = to.Close()
			return
		}
	}
}
