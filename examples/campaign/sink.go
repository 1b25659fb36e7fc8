package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// greyEvery: one address in so many is answered 451 the first time it is written to.
const greyEvery = 50

// receipt is one accepted mail, as a line of received.jsonl.
type receipt struct {
	At          time.Time `json:"at"` // when it was stored, by this machine's clock
	RecipientID int64     `json:"recipient_id"`
	CampaignID  int64     `json:"campaign_id"`
	To          string    `json:"to"` // of the envelope, not of the header
	MessageID   string    `json:"message_id"`
	Process     int       `json:"process"` // id of the worker's process
	Offset      int64     `json:"offset"`  // where the mail begins in mail.mbox
	Size        int       `json:"size"`
}

// sink is the mail server that the campaign is delivered to. It stores every mail
// in mail.mbox and notes it in received.jsonl before it answers 250, so that what
// a worker took for delivered is in the files. Both are only ever appended to.
// It greylists: one address in fifty is told 451 the first time. And it takes its
// time over each mail, as a server across a network does.
type sink struct {
	Addr string // host:port

	server   *smtp.Server
	listener net.Listener
	served   chan error // Serve's answer; 1, so that it ends unread
	think    time.Duration

	mu      sync.Mutex
	mbox    *os.File
	index   *os.File
	offset  int64
	seen    map[int64]struct{} // recipients with at least one mail
	mails   int
	refused map[string]struct{} // addresses that have had their 451
}

// newSink starts a mail server on a free port of the loopback address that keeps
// its mail in dir and thinks over each for about the given time. Its own troubles
// go to logs.
func newSink(dir string, think time.Duration, logs io.Writer) (*sink, error) {
	mbox, err := os.OpenFile(filepath.Join(dir, "mail.mbox"), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open mailbox: %w", err)
	}
	index, err := os.OpenFile(filepath.Join(dir, "received.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		mbox.Close()
		return nil, fmt.Errorf("open mail index: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		mbox.Close()
		index.Close()
		return nil, fmt.Errorf("listen for mail: %w", err)
	}
	s := &sink{
		Addr: listener.Addr().String(), listener: listener, think: think, served: make(chan error, 1),
		mbox: mbox, index: index, seen: map[int64]struct{}{}, refused: map[string]struct{}{},
	}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{sink: s}, nil }))
	s.server.Domain = "mx.example"
	s.server.MaxMessageBytes = 1 << 20
	s.server.MaxRecipients = 1
	s.server.ReadTimeout, s.server.WriteTimeout = time.Minute, time.Minute
	s.server.ErrorLog = complaints{logs}
	go func() { s.served <- s.server.Serve(listener) }()
	return s, nil
}

// counts returns how many recipients have mail, and how many mails there are.
func (s *sink) counts() (recipients, mails int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen), s.mails
}

// close waits until ctx ends for conversations to end, then ends them, and closes
// the files.
func (s *sink) close(ctx context.Context) error {
	if s.server.Shutdown(ctx) != nil {
		s.server.Close()
	}
	s.listener.Close() // Shutdown does not know it when Serve has only just begun
	if err := <-s.served; err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve mail: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mbox.Close(); err != nil {
		return fmt.Errorf("close mailbox: %w", err)
	}
	if err := s.index.Close(); err != nil {
		return fmt.Errorf("close mail index: %w", err)
	}
	return nil
}

// greylisted reports whether to is to be told 451 now: its hash chose it, and it
// was not told yet.
func (s *sink) greylisted(to string) bool {
	h := fnv.New32a()
	_, _ = io.WriteString(h, to) // never fails
	if h.Sum32()%greyEvery != 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, told := s.refused[to]; told {
		return false
	}
	s.refused[to] = struct{}{}
	return true
}

// store appends one mail to both files.
func (s *sink) store(from, to string, raw []byte, header netmail.Header) error {
	r := receipt{To: to, MessageID: header.Get("Message-Id"), At: time.Now(), Size: len(raw)}
	// A header that is missing or no number leaves 0, which is nobody's id.
	r.RecipientID, _ = strconv.ParseInt(header.Get(recipientHeader), 10, 64)
	r.CampaignID, _ = strconv.ParseInt(header.Get(campaignHeader), 10, 64)
	r.Process, _ = strconv.Atoi(header.Get(processHeader))
	entry := mboxEntry(from, r.At, raw)

	s.mu.Lock()
	defer s.mu.Unlock()
	r.Offset = s.offset
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	n, err := s.mbox.Write(entry)
	s.offset += int64(n)
	if err != nil {
		return err
	}
	if _, err := s.index.Write(append(line, '\n')); err != nil {
		return err
	}
	s.seen[r.RecipientID] = struct{}{}
	s.mails++
	return nil
}

// mboxEntry returns raw as an mbox keeps it (RFC 4155): a "From " line, line ends
// of LF, and lines of the mail that begin with "From " quoted.
func mboxEntry(from string, at time.Time, raw []byte) []byte {
	body := bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	body = bytes.ReplaceAll(body, []byte("\nFrom "), []byte("\n>From "))
	return fmt.Appendf(nil, "From %s %s\n%s\n", from, at.UTC().Format(time.ANSIC), body)
}

// complaints is where the mail library writes what it cannot tell a client.
type complaints struct{ out io.Writer }

// Printf writes one line.
func (c complaints) Printf(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// Println writes one line.
func (c complaints) Println(args ...any) { fmt.Fprintln(c.out, args...) }

// session is one conversation. The library calls its methods one after another.
type session struct {
	sink     *sink
	from, to string
}

// Mail begins a mail.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

// Rcpt takes the mail's one recipient, or greylists it.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.sink.greylisted(to) {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted, try again in a second"}
	}
	s.to = to
	return nil
}

// Data stores the mail. A mail whose sender died before its last line is none.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	msg, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "Not a mail"}
	}
	if s.sink.think > 0 {
		<-time.After(s.sink.think/2 + rand.N(s.sink.think)) // the network, and a server with other work
	}
	if err := s.sink.store(s.from, s.to, raw, msg.Header); err != nil {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Cannot store it now"}
	}
	return nil
}

// Reset forgets the mail that was begun.
func (s *session) Reset() { s.from, s.to = "", "" }

// Logout ends the conversation.
func (s *session) Logout() error { return nil }
