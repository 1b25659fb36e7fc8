package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/penguinmails/rookery/job"
)

// smtpPatience is how long one command of a conversation with the mail server may take.
const smtpPatience = 10 * time.Second

// postman renders letters and hands them to a mail server, over connections that
// it keeps. It is safe for concurrent use.
type postman struct {
	renderer *renderer
	client   *mail.Client
	idle     chan *smtp.Client // connections between two mails, as many as there are slots
}

// newPostman returns a postman for the server at addr that keeps at most slots
// connections open.
func newPostman(addr string, slots int) (*postman, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("smtp address: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("smtp port: %w", err)
	}
	r, err := newRenderer()
	if err != nil {
		return nil, err
	}
	// No TLS: the server of the demo listens on loopback only.
	client, err := mail.NewClient(host, mail.WithPort(port), mail.WithTLSPolicy(mail.NoTLS),
		mail.WithHELO(senderHost), mail.WithTimeout(smtpPatience), mail.WithoutNoop())
	if err != nil {
		return nil, fmt.Errorf("smtp client: %w", err)
	}
	return &postman{renderer: r, client: client, idle: make(chan *smtp.Client, slots)}, nil
}

// deliver sends l. A letter nobody could send, and a server that says no for good
// (5xx), discard the job; everything else (4xx, a lost connection) is a plain
// error, after which the job comes back with backoff. ctx bounds dialling only: a
// mail that is on its way is finished, because half of it would be sent again.
func (p *postman) deliver(ctx context.Context, l letter) error {
	msg, err := p.renderer.render(l)
	if err != nil {
		return job.Discard(err)
	}
	msg.SetGenHeader(processHeader, strconv.Itoa(os.Getpid()))
	conn, err := p.connect(ctx)
	if err != nil {
		return fmt.Errorf("connect to mail server: %w", err)
	}
	err = p.client.SendWithSMTPClient(conn, msg)
	if err != nil {
		conn.Close() // in what state the conversation is, nobody knows
	} else {
		p.keep(conn)
	}
	if err == nil || msg.IsDelivered() {
		return nil // accepted with 250, whatever came after
	}
	var refused *mail.SendError
	if errors.As(err, &refused) && refused.ErrorCode() >= 500 {
		return job.Discard(fmt.Errorf("mail server refused: %w", err))
	}
	return fmt.Errorf("mail server: %w", err)
}

func (p *postman) connect(ctx context.Context) (*smtp.Client, error) {
	select {
	case conn := <-p.idle:
		return conn, nil
	default:
		return p.client.DialToSMTPClientWithContext(ctx)
	}
}

func (p *postman) keep(conn *smtp.Client) {
	select {
	case p.idle <- conn:
	default:
		conn.Close()
	}
}

// close ends the idle connections. No deliver may run any more.
func (p *postman) close() {
	for {
		select {
		case conn := <-p.idle:
			_ = conn.Quit() // it was between two mails, nothing is lost with it
		default:
			return
		}
	}
}
