package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthLimit bounds the question: longer than the checks take, and shorter than what
// deploy/Dockerfile gives the command.
const healthLimit = 5 * time.Second

func healthcheckCommand(s *settings) *cobra.Command {
	var addr string
	c := &cobra.Command{
		Use: "healthcheck", Short: "Ask a process of this machine whether it is ready", Args: noArgs,
		Long: `Ask a process of this machine whether it is ready: GET /readyz. Silent and 0 when it
is; else it says which checks fail, and exits with 1. For containers without a shell.
A worker or relay answers when it was started with --http.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			at, err := reach(cmp.Or(addr, config.HTTPAddr, "127.0.0.1:8080"))
			if err != nil {
				return &usageError{err}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthLimit)
			defer cancel()
			if config.TLSCert != "" {
				if err := askReady(ctx, "https://"+at); !errors.Is(err, errNobody) {
					return err
				} // a worker's or a relay's address speaks no TLS
			}
			return askReady(ctx, "http://"+at)
		},
	}
	c.Flags().StringVar(&addr, "addr", "", "where it listens (default ROOKERY_HTTP_ADDR or 127.0.0.1:8080)")
	return c
}

// reach is the address under which this machine finds a server that listens on addr,
// which may be all addresses.
func reach(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("the address is %q, must be host:port", addr)
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.Equal(net.IPv6unspecified):
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

// errNobody: there is no answer, or none in this protocol.
var errNobody = errors.New("nobody answers")

// askReady asks /readyz at url, past every proxy. The certificate is for those who come
// from outside, by another name; nothing that it is to protect is sent.
func askReady(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // see above
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errNobody, err)
	}
	defer func() { _ = res.Body.Close() }()
	var report struct {
		Ready  bool `json:"ready"`
		Checks []struct {
			Name   string `json:"name"`
			State  string `json:"state"`
			Detail string `json:"detail"`
		} `json:"checks"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&report); err != nil {
		return fmt.Errorf("%s is no Rookery: /readyz answers %s, and not with its checks", url, res.Status)
	}
	if report.Ready {
		return nil
	}
	not := []error{errors.New("not ready")}
	for _, c := range report.Checks {
		if c.State != "ok" {
			not = append(not, fmt.Errorf("%s is %s: %s", c.Name, c.State, c.Detail))
		}
	}
	return errors.Join(not...)
}
