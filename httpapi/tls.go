package httpapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certCheck is how long the files of a certificate are not looked at again.
const certCheck = time.Second

// certificate is a certificate and its key, in two files that may be replaced while the
// server runs: a handshake looks at most once a second whether they were. Files that do
// not fit together, as while they are being replaced, leave the certificate as it was.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	looked  time.Time // by the monotonic clock
	seen    [2]fileState
	failing bool
}

// fileState tells one writing of a file from the next.
type fileState struct {
	modified time.Time
	size     int64
}

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.loadLocked(); err != nil {
		return nil, err
	}
	c.looked = time.Now()
	return c, nil
}

// config is what the server speaks TLS by. TLS 1.0 and 1.1 are broken
// (https://www.rfc-editor.org/rfc/rfc8996).
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= certCheck {
		c.looked = now
		c.lookLocked(hello.Context())
	}
	return c.current, nil
}

func (c *certificate) lookLocked(ctx context.Context) {
	states, err := c.states()
	if err == nil && states == c.seen {
		return
	}
	if err == nil {
		err = c.loadLocked()
	}
	switch {
	case err != nil && !c.failing:
		c.log.WarnContext(ctx, "certificate cannot be read again; the old one goes on", logError, err)
	case err == nil:
		c.log.InfoContext(ctx, "certificate was read again")
	}
	c.failing = err != nil
}

func (c *certificate) loadLocked() error {
	states, err := c.states() // before reading: what is written in between is read again
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	c.current, c.seen = &pair, states
	return nil
}

func (c *certificate) states() (out [2]fileState, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return out, err
		}
		out[i] = fileState{info.ModTime(), info.Size()}
	}
	return out, nil
}
