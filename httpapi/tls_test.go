package httpapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// writePair writes a certificate of its own for 127.0.0.1, and its key.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "rookery"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		// Two writings within a tick of the kernel's clock have one time.
		at := time.Now().Add(time.Duration(serial) * time.Second)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// serialAt makes a handshake of at most that version and returns the certificate's
// number.
func serialAt(ctx context.Context, addr string, version uint16) (int64, error) {
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	conn, _ := c.(*tls.Conn)
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// The server speaks TLS from 1.2 on, and takes a new certificate when its files are
// replaced; halves of two pairs leave it as it was.
func TestTLS_IsReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := New(&fakeJobs{}, Options{CertFile: cert, KeyFile: key}); err == nil {
		t.Error("New without the files = nil, want an error")
	}
	writePair(t, cert, key, 1)
	if _, err := New(&fakeJobs{}, Options{CertFile: cert}); err == nil {
		t.Error("New without a key's file = nil, want an error")
	}
	s := newServer(t, &fakeJobs{}, Options{Addr: "127.0.0.1:0", CertFile: cert, KeyFile: key})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		if n, err := serialAt(t.Context(), s.Addr(), version); (err == nil && n == 1) != want {
			t.Errorf("handshake of version %x = %d, %v, want it to work: %t", version, n, err, want)
		}
	}
	until := func(want int64) {
		t.Helper()
		devtest.Until(t, patience, "the new certificate", func() (bool, error) {
			n, err := serialAt(t.Context(), s.Addr(), tls.VersionTLS13)
			return n == want, err
		})
	}
	writePair(t, cert, filepath.Join(dir, "elsewhere.pem"), 2)
	devtest.Until(t, patience, "the server to look", func() (bool, error) {
		n, err := serialAt(t.Context(), s.Addr(), tls.VersionTLS13)
		if n != 1 {
			t.Errorf("half a pair was taken: certificate %d", n)
		}
		s.cert.mu.Lock()
		defer s.cert.mu.Unlock()
		return s.cert.failing, err
	})
	writePair(t, cert, key, 3)
	until(3)
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}
