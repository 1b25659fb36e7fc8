package e2e

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
)

// strand stands between a process and its Postgres. It can refuse, hang, and cut a
// connection at the very statement that carries a word.
type strand struct {
	listener net.Listener
	to       string

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	frozen  bool
	refuses bool
	ended   bool
	word    string // the connection that sends it is cut: once
	after   bool   // once the server has answered, which is after its commit; else before it hears of it
	cuts    int
	conns   []net.Conn
}

// newStrand returns a strand to the server of a database URL, and that URL through it.
func newStrand(t *testing.T, database string) (*strand, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &strand{listener: l, to: u.Host}
	s.changed = sync.NewCond(&s.mu)
	var running sync.WaitGroup
	running.Go(func() { s.accept(&running) })
	t.Cleanup(func() {
		_ = l.Close()
		s.set(func() { s.ended = true; s.dropLocked() })
		running.Wait()
	})
	u.Host = l.Addr().String()
	return s, u.String()
}

func (s *strand) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.changed.Broadcast()
}

func (s *strand) dropLocked() {
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// freeze lets nothing pass any more, in either direction, not even a close.
func (s *strand) freeze(on bool) { s.set(func() { s.frozen = on }) }

// refuse ends every connection, and each new one at once.
func (s *strand) refuse(on bool) {
	s.set(func() {
		s.refuses = on
		if on {
			s.dropLocked()
		}
	})
}

// cutAt cuts the next connection that sends word.
func (s *strand) cutAt(word string, after bool) { s.set(func() { s.word, s.after = word, after }) }

func (s *strand) wasCut() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cuts
}

func (s *strand) accept(running *sync.WaitGroup) {
	for {
		in, err := s.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", s.to)
		s.mu.Lock()
		refused := err != nil || s.refuses || s.ended
		if !refused {
			s.conns = append(s.conns, in, out)
		}
		s.mu.Unlock()
		if refused {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		doomed := make(chan struct{})
		running.Go(func() { s.carry(in, out, doomed, true) })
		running.Go(func() { s.carry(out, in, doomed, false) })
	}
}

// carry copies one direction. doomed is closed by the sending direction when the
// connection is to be cut at the server's next answer.
func (s *strand) carry(from, to net.Conn, doomed chan struct{}, sending bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 256<<10)
	for {
		n, err := from.Read(buffer)
		s.mu.Lock()
		for s.frozen && !s.ended {
			s.changed.Wait()
		}
		cut := false
		if sending && s.word != "" && bytes.Contains(buffer[:n], []byte(s.word)) {
			s.word = ""
			s.cuts++
			if cut = !s.after; !cut {
				close(doomed)
			}
		}
		s.mu.Unlock()
		if !sending && n > 0 {
			select {
			case <-doomed:
				cut = true
			default:
			}
		}
		if cut {
			return
		}
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}
