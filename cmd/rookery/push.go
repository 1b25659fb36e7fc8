package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

func pushCommand(s *settings) *cobra.Command {
	var (
		addr  string
		allow allowed
	)
	c := &cobra.Command{
		Use:   "push",
		Short: "Deliver the jobs of queues with an endpoint to its URL; any number may run side by side",
		Long: `Deliver the jobs of every queue that has an endpoint (rookery webhooks set) to its
URL, signed as Standard Webhooks has it. Changed endpoints count within seconds. An
endpoint's limits hold over all such processes.

Requests go to public addresses only, by https, on ports 443 and 8443, unless more is
allowed. The login in DATABASE_URL needs rookery_worker and rookery_pusher, or
rookery_server. docs/push-workers.md says what a receiver gets and what its answer does.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			if err := allow.set(cmd, &config.Push); err != nil {
				return err
			}
			return withService(cmd.Context(), config, func(ctx context.Context, svc *rookery.Service) error {
				if err := svc.CheckSchema(ctx); err != nil {
					return err
				}
				p, err := svc.Push()
				if err != nil {
					return err
				}
				return runBeside(ctx, addr, p.Run, func() (runner, error) { return svc.Window(ctx, addr, nil) })
			})
		},
	}
	c.Flags().StringVar(&addr, "http", "", "serve /livez, /readyz and /metrics here (default: not at all)")
	allow.flags(c)
	return c
}

// allowed is what flags say of where jobs may be delivered to.
type allowed struct {
	http            bool
	ports, networks []string
}

func (a *allowed) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&a.http, "push-allow-http", false, "deliver to plain http too, and to port 80 (default ROOKERY_PUSH_ALLOW_HTTP)")
	f.StringSliceVar(&a.ports, "push-allow-port", nil, "`port` to deliver to besides 443 and 8443; may be repeated (default ROOKERY_PUSH_ALLOW_PORTS)")
	f.StringSliceVar(&a.networks, "push-allow-network", nil, "`network` to deliver to although it is not public, such as 10.1.0.0/16; may be repeated (default ROOKERY_PUSH_ALLOW_NETWORKS)")
}

// set puts what the flags say over what the environment said.
func (a *allowed) set(c *cobra.Command, p *rookery.Push) (err error) {
	if c.Flags().Changed("push-allow-http") {
		p.AllowHTTP = a.http
	}
	if c.Flags().Changed("push-allow-port") {
		if p.Ports, err = rookery.ParsePorts(strings.Join(a.ports, ",")); err != nil {
			return &usageError{fmt.Errorf("--push-allow-port %w", err)}
		}
	}
	if c.Flags().Changed("push-allow-network") {
		if p.Networks, err = rookery.ParseNetworks(strings.Join(a.networks, ",")); err != nil {
			return &usageError{fmt.Errorf("--push-allow-network %w", err)}
		}
	}
	return nil
}
