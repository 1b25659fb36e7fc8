package main

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parse renders l and reads it back with the standard library: its header, and the
// decoded text of each part by type.
func parse(t *testing.T, l letter) (raw string, header netmail.Header, parts map[string]string) {
	t.Helper()
	r, err := newRenderer()
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.render(l)
	if err != nil {
		t.Fatalf("render(%+v): %v", l, err)
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	raw = b.String()
	msg, err := netmail.ReadMessage(&b)
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("Content-Type = %q, %v, want multipart/alternative", kind, err)
	}
	parts = map[string]string{}
	body := multipart.NewReader(msg.Body, params["boundary"])
	for {
		part, err := body.NextRawPart()
		if errors.Is(err, io.EOF) {
			return raw, msg.Header, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := part.Header.Get("Content-Transfer-Encoding"); got != "quoted-printable" {
			t.Fatalf("Content-Transfer-Encoding = %q, want quoted-printable", got)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		parts[kind] = string(text)
	}
}

func TestRender_HasTextAndHTML(t *testing.T) {
	t.Parallel()
	_, header, parts := parse(t, letter{CampaignID: 7, RecipientID: 42, Email: "zoe@readers.example", Name: `Zoë <b>"&`})
	want := map[string]string{
		"Message-Id": "<c7.r42@penguinmails.example>", recipientHeader: "42", campaignHeader: "7",
		"List-Unsubscribe": "<https://penguinmails.example/c/7/leave?r=42>",
	}
	for name, value := range want {
		if got := header.Get(name); got != value {
			t.Errorf("header %s = %q, want %q", name, got, value)
		}
	}
	to, err := header.AddressList("To")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*netmail.Address{{Name: `Zoë <b>"&`, Address: "zoe@readers.example"}}, to); diff != "" {
		t.Errorf("To (-want +got):\n%s", diff)
	}
	if text := parts["text/plain"]; !strings.HasPrefix(text, `Hello Zoë <b>"&,`) || !strings.Contains(text, "/c/7/vote?r=42") {
		t.Errorf("text part = %q", text)
	}
	if html := parts["text/html"]; !strings.Contains(html, "Hello Zoë &lt;b&gt;&#34;&amp;,") || !strings.Contains(html, `href="https://penguinmails.example/c/7/vote?r=42"`) {
		t.Errorf("html part = %q", html)
	}
}

func TestRender_NameCannotInjectHeaders(t *testing.T) {
	t.Parallel()
	_, plainHeader, _ := parse(t, letter{CampaignID: 1, RecipientID: 1, Email: "a@b.example", Name: "Eve"})
	for _, name := range []string{
		"Eve\r\nBcc: everybody@example.test", "Eve\nBcc: everybody@example.test", "Eve\rBcc: everybody@example.test",
		"Eve\r\n\r\nno mail", "Eve\u2028Bcc: x", "Eve\u0085Bcc: x", "Eve\x00Bcc: x", `Eve" <x@y.example>, "`, "=?utf-8?q?Eve=0D=0ABcc:_x?=",
		strings.Repeat("long\r\nBcc: x@y.example ", 50), "",
	} {
		raw, header, _ := parse(t, letter{CampaignID: 1, RecipientID: 1, Email: "a@b.example", Name: name})
		if diff := cmp.Diff(fields(plainHeader), fields(header)); diff != "" {
			t.Errorf("headers with name %q (-want +got):\n%s", name, diff)
		}
		to, err := header.AddressList("To")
		if err != nil || len(to) != 1 || to[0].Address != "a@b.example" {
			t.Errorf("To with name %q = %v, %v, want a@b.example alone", name, to, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
		if err != nil || strings.ContainsAny(subject, "\r\n\x00") {
			t.Errorf("Subject with name %q = %q, %v, want no line end", name, subject, err)
		}
		if head, _, _ := strings.Cut(raw, "\r\n\r\n"); strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") {
			t.Errorf("header with name %q has a bare LF: %q", name, head)
		}
	}
}

// fields returns the names of the headers that are there, each as often as it is.
func fields(h netmail.Header) []string {
	var names []string
	for name, values := range h {
		for range values {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestRender_RefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	r, err := newRenderer()
	if err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"", "nobody", "a@b.example, c@d.example", "A <a@b.example>", "a@b.example\r\nBcc: c@d.example", "\"a\r\nRCPT TO:<c@d.example>\"@b.example", " a@b.example"} {
		if _, err := r.render(letter{CampaignID: 1, RecipientID: 1, Email: email, Name: "Ada"}); err == nil {
			t.Errorf("render(email %q) = nil, want an error", email)
		}
	}
}
