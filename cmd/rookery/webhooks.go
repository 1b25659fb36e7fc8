package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func webhooksCommand(s *settings) *cobra.Command {
	webhooks := group(&cobra.Command{
		Use: "webhooks", Short: "Say which queues are delivered to which URL, test it, sign and verify",
		Long: `Say which queues are delivered to which URL, test it, sign and verify.

A queue with an endpoint has its jobs POSTed to a URL by rookery push, or by rookery
serve --push. A secret is shown once, when it is made.`,
	})
	webhooks.AddCommand(webhooksSet(s), webhooksList(s), webhooksTest(s), webhooksRotate(s), webhooksDelete(s), webhooksSign(), webhooksVerify())
	return webhooks
}

// withConfig loads the configuration, checks the queue that a command is given, and
// gives do some seconds.
func withConfig(cmd *cobra.Command, s *settings, queue string, do func(context.Context, rookery.Config) error) error {
	if err := job.CheckQueueName(queue); err != nil {
		return &usageError{err}
	}
	config, err := s.load()
	if err != nil {
		return err
	}
	ctx, cancel := asking(cmd.Context())
	defer cancel()
	err = do(ctx, config)
	var field *job.FieldError
	switch {
	case errors.As(err, &field):
		return &usageError{fmt.Errorf("%s %s", webhookFlag(field.Field), field.Problem)}
	case errors.Is(err, job.ErrNotFound):
		return notFoundError("queue " + queue + " has no endpoint; rookery webhooks set makes one")
	}
	return err
}

// webhookFlag is the flag that sets a field of an endpoint.
func webhookFlag(field string) string {
	switch field {
	case "timeout_ms":
		return "--timeout in ms"
	case "rate_per_second":
		return "--rate"
	case "keep_old_seconds":
		return "--keep-old in seconds"
	case "url", "max_in_flight":
		return "--" + strings.ReplaceAll(field, "_", "-")
	}
	return field
}

func webhooksSet(s *settings) *cobra.Command {
	var (
		e       job.Endpoint
		timeout time.Duration
		allow   allowed
	)
	c := &cobra.Command{
		Use: "set QUEUE --url URL", Short: "Have a queue's jobs delivered to a URL, and print the secret of a new endpoint, once", Args: oneArg,
		Long: `Have a queue's jobs delivered to a URL, and print the secret of a new endpoint, once.
For a queue that has an endpoint this replaces its URL and limits, keeps its secret, and
enables it if a receiver's 410 had disabled it.`,
		Example: `  rookery webhooks set mail --url https://mail.example/hooks/rookery --max-in-flight 20`,
		RunE: func(cmd *cobra.Command, args []string) error {
			e.QueueName, e.TimeoutMS = args[0], int(timeout.Milliseconds())
			return withConfig(cmd, s, args[0], func(ctx context.Context, config rookery.Config) error {
				if err := allow.set(cmd, &config.Push); err != nil {
					return err
				}
				set, secret, err := rookery.SetEndpoint(ctx, config, e)
				if err != nil {
					return err
				}
				return showSecret(s, secret, "the secret of "+args[0], struct {
					job.Endpoint
					Secret string `json:"secret,omitempty"`
				}{set, secret})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&e.URL, "url", "", "where jobs are POSTed to")
	f.DurationVar(&timeout, "timeout", job.DefaultEndpointMS*time.Millisecond, "of one request, 1s to 10m")
	f.IntVar(&e.MaxInFlight, "max-in-flight", job.DefaultInFlight, "requests at once over all push processes, 1 to 1000")
	f.Float64Var(&e.RatePerSecond, "rate", 0, "requests a second over all push processes; 0: no limit")
	allow.flags(c)
	return c
}

// showSecret prints a secret that was made, or, as JSON, all there is.
func showSecret(s *settings, secret, whose string, all any) error {
	if s.json {
		return printJSON(all)
	}
	if secret != "" {
		fmt.Fprintf(os.Stderr, "rookery: this is the only time that %s is shown:\n", whose)
		fmt.Println(secret)
	}
	return nil
}

func webhooksList(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the queues that are delivered to a URL", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withURL(cmd, s, func(ctx context.Context, url string) error {
				all, err := rookery.Endpoints(ctx, url)
				if err != nil {
					return err
				}
				return show(s, all, "QUEUE\tURL\tTIMEOUT\tMAX IN FLIGHT\tRATE\tDISABLED", func(e job.Endpoint) []any {
					disabled, rate := "no", "no limit"
					if e.DisabledAt != nil {
						disabled = e.DisabledAt.Format(time.RFC3339) + " " + printable(e.DisabledReason)
					}
					if e.RatePerSecond > 0 {
						rate = fmt.Sprintf("%g/s", e.RatePerSecond)
					}
					return []any{e.QueueName, printable(e.URL), e.Timeout(), e.MaxInFlight, rate, disabled}
				})
			})
		},
	}
}

func webhooksTest(s *settings) *cobra.Command {
	var allow allowed
	c := &cobra.Command{
		Use: "test QUEUE", Short: "Send an endpoint a signed request without a job, from this machine", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withConfig(cmd, s, args[0], func(ctx context.Context, config rookery.Config) error {
				if err := allow.set(cmd, &config.Push); err != nil {
					return err
				}
				came, err := rookery.TestEndpoint(ctx, config, args[0])
				if err != nil {
					return err
				}
				if s.json {
					if err := printJSON(came); err != nil {
						return err
					}
				}
				if !came.Delivered {
					return fmt.Errorf("not delivered: %s", came.Problem)
				}
				if !s.json {
					fmt.Printf("delivered: %d in %d ms\n", came.Status, came.TookMS)
				}
				return nil
			})
		},
	}
	allow.flags(c)
	return c
}

func webhooksRotate(s *settings) *cobra.Command {
	var keep time.Duration
	c := &cobra.Command{
		Use: "rotate QUEUE [--keep-old 24h]", Short: "Make a new secret and print it, once; the old one signs too for a while", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withConfig(cmd, s, args[0], func(ctx context.Context, config rookery.Config) error {
				secret, err := rookery.RotateEndpoint(ctx, config, args[0], keep)
				if err != nil {
					return err
				}
				return showSecret(s, secret, "the new secret of "+args[0], map[string]string{"queue_name": args[0], "secret": secret})
			})
		},
	}
	c.Flags().DurationVar(&keep, "keep-old", job.DefaultSecretOverlap, "how long the old secret signs too, 0s to 168h")
	return c
}

func webhooksDelete(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "delete QUEUE", Short: "Deliver a queue's jobs to its URL no more; they wait for another worker", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withConfig(cmd, s, args[0], func(ctx context.Context, config rookery.Config) error {
				done, err := rookery.DeleteEndpoint(ctx, config, args[0])
				if err == nil && !done {
					err = job.ErrNotFound
				}
				return err
			})
		},
	}
}

// signed is what sign and verify are given: a secret from a file, since arguments can be
// seen by others, and the body on standard input.
type signed struct{ secretFile, id, timestamp, signature string }

func (g *signed) flags(c *cobra.Command) {
	c.Flags().StringVar(&g.secretFile, "secret-file", "", "`file` with the secret")
	c.Flags().StringVar(&g.id, "id", "", "webhook-id")
}

func (g *signed) read() (secret string, body []byte, err error) {
	if g.secretFile == "" || g.id == "" {
		return "", nil, &usageError{fmt.Errorf("--secret-file and --id are needed")}
	}
	text, err := os.ReadFile(g.secretFile)
	if err != nil {
		return "", nil, fmt.Errorf("read secret: %w", err)
	}
	const most = 1 << 20
	if body, err = io.ReadAll(io.LimitReader(os.Stdin, most+1)); err == nil && len(body) > most {
		err = fmt.Errorf("the body has more than %d bytes", most)
	}
	return strings.TrimSpace(string(text)), body, err
}

func webhooksSign() *cobra.Command {
	var g signed
	c := &cobra.Command{
		Use: "sign --secret-file FILE --id ID < BODY", Short: "Print the headers with which a body would be delivered, to try a receiver", Args: noArgs,
		Example: `  curl -H @<(rookery webhooks sign --secret-file secret --id 1 < body) --data-binary @body https://localhost:8443/hook`,
		RunE: func(*cobra.Command, []string) error {
			secret, body, err := g.read()
			if err != nil {
				return err
			}
			headers, err := rookery.SignWebhook(secret, g.id, time.Now(), body)
			if err != nil {
				return err
			}
			for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
				fmt.Printf("%s: %s\n", name, headers[name])
			}
			return nil
		},
	}
	g.flags(c)
	return c
}

func webhooksVerify() *cobra.Command {
	var g signed
	c := &cobra.Command{
		Use: "verify --secret-file FILE --id ID --timestamp SECONDS --signature SIGNATURE < BODY", Short: "Say whether a request was signed with a secret within 5 minutes", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			secret, body, err := g.read()
			if err != nil {
				return err
			}
			if err := rookery.VerifyWebhook(secret, g.id, g.timestamp, g.signature, body, time.Now()); err != nil {
				return err
			}
			fmt.Println("verified")
			return nil
		},
	}
	g.flags(c)
	c.Flags().StringVar(&g.timestamp, "timestamp", "", "webhook-timestamp")
	c.Flags().StringVar(&g.signature, "signature", "", "webhook-signature")
	return c
}
