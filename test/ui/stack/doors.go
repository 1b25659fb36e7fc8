package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/penguinmails/rookery/internal/oidc/oidctest"
)

// doors returns what stands before the second address, whose port has to be known before it
// listens, and the issuer that people come from: for a browser localhost is another site
// than 127.0.0.1, as issuers are.
func doors(ctx context.Context) (front net.Listener, issuer *oidctest.Issuer, err error) {
	if issuer, err = oidctest.Start(); err != nil {
		return nil, nil, err
	}
	issuer.URL = strings.Replace(issuer.URL, "127.0.0.1", "localhost", 1)
	issuer.Asks = true // only what begins at its own page comes from another site
	issuer.Claims = map[string]any{"roles": []string{"jobs:read", "jobs:write", "queues:admin"}}
	front, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	return front, issuer, err
}

// pass hands what comes to front on to an address.
func pass(ctx context.Context, front net.Listener, to string) error {
	s := http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		r.Out.Host = r.In.Host
	}}}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(front); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}
