package main

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	netmail "net/mail"
	"strconv"
	"strings"
	texttemplate "text/template"
	"unicode"

	"github.com/wneessen/go-mail"
)

// The headers by which the mail server knows whom a mail is for, and from whom it
// is. They repeat what the Message-ID says, so that nobody has to take an id apart.
const (
	recipientHeader = "X-Recipient-Id"
	campaignHeader  = "X-Campaign-Id"
	processHeader   = "X-Sent-By-Process" // the worker's process id
)

const (
	sender     = "campaigns@penguinmails.example"
	senderHost = "penguinmails.example"
)

//go:embed templates/mail.txt templates/mail.html
var templates embed.FS

// letter is the arguments of one job: one mail to one recipient.
type letter struct {
	CampaignID  int64  `json:"campaign_id"`
	RecipientID int64  `json:"recipient_id"`
	Email       string `json:"email"`
	Name        string `json:"name"`
}

// Kind returns the kind under which the worker registers its handler.
func (letter) Kind() string { return "campaign.mail" }

// VoteURL is the link the mail is about.
func (l letter) VoteURL() string { return l.link("vote") }

// LeaveURL unsubscribes the recipient.
func (l letter) LeaveURL() string { return l.link("leave") }

func (l letter) link(verb string) string {
	return fmt.Sprintf("https://%s/c/%d/%s?r=%d", senderHost, l.CampaignID, verb, l.RecipientID)
}

// messageID is the same for every attempt at the same recipient: a mail that is
// sent twice, because a worker died between sending and saying so, can be told
// from two mails by whoever receives it.
func (l letter) messageID() string {
	return fmt.Sprintf("c%d.r%d@%s", l.CampaignID, l.RecipientID, senderHost)
}

// renderer makes MIME messages of letters. It is safe for concurrent use.
type renderer struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

func newRenderer() (*renderer, error) {
	text, err := texttemplate.ParseFS(templates, "templates/mail.txt")
	if err != nil {
		return nil, fmt.Errorf("parse text template: %w", err)
	}
	html, err := htmltemplate.ParseFS(templates, "templates/mail.html")
	if err != nil {
		return nil, fmt.Errorf("parse html template: %w", err)
	}
	return &renderer{text: text, html: html}, nil
}

// render returns the message of l, text first and HTML as its alternative. Its
// only error is that of a letter nobody could send: an address that is none.
func (r *renderer) render(l letter) (*mail.Msg, error) {
	l.Name = plain(l.Name)
	// ParseAddress takes "Name <address>" too, and an address with a comment.
	to, err := netmail.ParseAddress(l.Email)
	if err != nil {
		return nil, fmt.Errorf("address of recipient %d: %w", l.RecipientID, err)
	}
	if to.Address != l.Email {
		return nil, fmt.Errorf("address of recipient %d is more than an address", l.RecipientID)
	}
	to.Name = l.Name

	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(&netmail.Address{Name: "PenguinMails", Address: sender})
	m.ToMailAddress(to)
	m.Subject(l.Name + ", the colony votes")
	m.SetDate()
	m.SetMessageIDWithValue(l.messageID())
	m.SetGenHeader(recipientHeader, strconv.FormatInt(l.RecipientID, 10))
	m.SetGenHeader(campaignHeader, strconv.FormatInt(l.CampaignID, 10))
	if err := m.SetListUnsubscribeOneClick(l.LeaveURL()); err != nil {
		return nil, fmt.Errorf("unsubscribe header: %w", err)
	}
	if err := m.SetBodyTextTemplate(r.text, l); err != nil {
		return nil, fmt.Errorf("render text: %w", err)
	}
	if err := m.AddAlternativeHTMLTemplate(r.html, l); err != nil {
		return nil, fmt.Errorf("render html: %w", err)
	}
	return m, nil
}

// plain returns name without control characters and line ends of any script, and
// without what a reader would take for an encoded word (RFC 2047), which could
// hold them. The library encodes what must not stand in a header; this makes sure
// that nothing bad comes out where it is decoded.
func plain(name string) string {
	name = strings.ReplaceAll(name, "=?", "= ?")
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar
	}), " ")
}
