package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// startSink returns a mail server that does not think, and a postman for it.
func startSink(t *testing.T) (s *sink, p *postman, dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := newSink(dir, 0, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = newPostman(s.Addr, 2); err != nil {
		t.Fatal(err)
	}
	return s, p, dir
}

func stopSink(t *testing.T, s *sink, p *postman) {
	t.Helper()
	p.close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.close(ctx); err != nil {
		t.Fatal(err)
	}
}

func receipts(t *testing.T, dir string) []receipt {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "received.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	mails, err := readReceipts(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return mails
}

// sendTwice delivers l, a second time when the first was told to come again.
func sendTwice(t *testing.T, p *postman, l letter) (temporary bool) {
	t.Helper()
	err := p.deliver(t.Context(), l)
	if err == nil {
		return false
	}
	if got := job.OutcomeOf(job.Ref{}, err, 0, time.Second); got.Kind != job.Failed || got.Delay != time.Second {
		t.Fatalf("deliver(%d): %v is a %s, want a failure with backoff", l.RecipientID, err, got.Kind)
	}
	if !strings.Contains(err.Error(), "451") {
		t.Fatalf("deliver(%d): %v, want a 451", l.RecipientID, err)
	}
	if err := p.deliver(t.Context(), l); err != nil {
		t.Fatalf("deliver(%d) again: %v", l.RecipientID, err)
	}
	return true
}

func TestSink_StoresWhatItAccepts(t *testing.T) {
	t.Parallel()
	s, p, dir := startSink(t)
	const n = 200
	refused := 0
	for id := range int64(n) {
		l := letter{CampaignID: 3, RecipientID: id + 1, Email: "r" + strings.Repeat("x", int(id)%40) + string(rune('a'+id%26)) + "@readers.example", Name: "Łukasz"}
		if sendTwice(t, p, l) {
			refused++
		}
	}
	if recipients, mails := s.counts(); recipients != n || mails != n {
		t.Errorf("counts() = %d, %d, want %d, %d", recipients, mails, n, n)
	}
	if refused == 0 || refused > n/4 {
		t.Errorf("%d of %d mails were greylisted, want about one address in %d", refused, n, greyEvery)
	}
	stopSink(t, s, p)

	mbox, err := os.ReadFile(filepath.Join(dir, "mail.mbox"))
	if err != nil {
		t.Fatal(err)
	}
	mails := receipts(t, dir)
	if len(mails) != n || bytes.Count(mbox, []byte("\nFrom "))+1 != n {
		t.Fatalf("index has %d mails, want %d, mbox too", len(mails), n)
	}
	for i, m := range mails {
		if m.RecipientID != int64(i+1) || m.CampaignID != 3 || m.At.IsZero() || m.MessageID == "" || m.Process != os.Getpid() {
			t.Fatalf("receipt %d = %+v", i, m)
		}
		if rest := mbox[m.Offset:]; !bytes.HasPrefix(rest, []byte("From "+sender+" ")) {
			t.Fatalf("mbox at %d = %.40q, want the beginning of mail %d", m.Offset, rest, i)
		}
	}
}

func TestSink_HalfAMailIsNone(t *testing.T) {
	t.Parallel()
	s, p, dir := startSink(t)
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c := textproto.NewConn(conn)
	for _, step := range []struct {
		line string
		code int
	}{{"", 220}, {"EHLO dying.example", 250}, {"MAIL FROM:<a@b.example>", 250}, {"RCPT TO:<c@d.example>", 250}, {"DATA", 354}} {
		if step.line != "" {
			if err := c.PrintfLine("%s", step.line); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := c.ReadResponse(step.code); err != nil {
			t.Fatalf("%q: %v", step.line, err)
		}
	}
	if err := c.PrintfLine("X-Recipient-Id: 1\r\n\r\nHello, this is only ha"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	stopSink(t, s, p) // waits for the conversation's end
	if mails := receipts(t, dir); len(mails) != 0 {
		t.Errorf("receipts = %+v, want none", mails)
	}
}

func TestDeliver_DiscardsWhatNobodyCanSend(t *testing.T) {
	t.Parallel()
	s, p, _ := startSink(t)
	defer stopSink(t, s, p)
	err := p.deliver(t.Context(), letter{CampaignID: 1, RecipientID: 1, Email: "no address", Name: "Ada"})
	if got := job.OutcomeOf(job.Ref{}, err, 0, time.Second); got.Kind != job.Discarded {
		t.Errorf("deliver(no address): %v is a %s, want a discard", err, got.Kind)
	}
}
