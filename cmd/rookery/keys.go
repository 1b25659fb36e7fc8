package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func keysCommand(s *settings) *cobra.Command {
	keys := group(&cobra.Command{
		Use: "keys", Short: "Make, list and revoke the keys of the HTTP API",
		Long: `Make, list and revoke the keys of the HTTP API.

A key has scopes (what it may do) and, if wanted, queues (where). It is shown once,
when it is made; Postgres keeps a hash of it. A server that is to be reached with such
keys only runs with --require-key.`,
	})
	keys.AddCommand(keysCreate(s), keysList(s), keysRevoke(s))
	return keys
}

func keysCreate(s *settings) *cobra.Command {
	var (
		k       job.APIKey
		scopes  []string
		expires string
	)
	c := &cobra.Command{
		Use: "create --name NAME --scope SCOPE … [--queue NAME …] [--expires 90d]", Short: "Make a key and print it, once", Args: noArgs,
		Example: `  rookery keys create --name web --scope jobs:write --queue 'mail.*' --expires 365d
  rookery keys create --name on-call --scope jobs:read --scope queues:admin`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k.Scopes = nil
			for _, scope := range scopes {
				k.Scopes = append(k.Scopes, job.Scope(scope))
			}
			switch {
			case k.Name == "":
				return &usageError{errors.New("--name is missing: whose key is it?")}
			case len(k.Scopes) == 0:
				return &usageError{errors.New("--scope is missing: what may it do? " + scopeWords())}
			}
			if err := k.Check(); err != nil {
				return &usageError{err}
			}
			if expires != "" {
				at, err := ends(expires, time.Now())
				if err != nil {
					return &usageError{err}
				}
				k.ExpiresAt = &at
			}
			return withURL(cmd, s, func(ctx context.Context, url string) error {
				text, made, err := rookery.CreateKey(ctx, url, k)
				if err != nil {
					return err
				}
				if s.json {
					return printJSON(struct {
						job.APIKey
						Key string `json:"key"`
					}{made, text})
				}
				fmt.Fprintf(os.Stderr, "rookery: made key %s; this is the only time that it is shown:\n", made.ID)
				fmt.Println(text)
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&k.Name, "name", "", "whose it is, for people")
	f.StringSliceVar(&scopes, "scope", nil, "what it may do: "+scopeWords()+"; may be repeated")
	f.StringSliceVarP(&k.Queues, "queue", "q", nil, "only queues of this name, or, with a * at its end, of this beginning; may be repeated (default: every queue)")
	f.StringVar(&expires, "expires", "", "when it ends: after 12h or 90d, or at 2027-01-01T00:00:00Z (default: never)")
	return c
}

// ends reads a duration, which may be of days, or a time.
func ends(text string, now time.Time) (time.Time, error) {
	const most = 100 * 365 * 24 * time.Hour
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	after, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, bad := strconv.Atoi(days)
		after, err = time.Duration(min(max(n, 0), 1e5))*24*time.Hour, bad
	}
	if err != nil || after <= 0 || after > most {
		return time.Time{}, fmt.Errorf("--expires is %q, must be a time such as 2027-01-01T00:00:00Z, or a while such as 12h or 90d, of at most 100 years", text)
	}
	return now.Add(after), nil
}

func scopeWords() string {
	var words []string
	for _, s := range job.Scopes() {
		words = append(words, string(s))
	}
	return strings.Join(words, ", ")
}

func keysList(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List keys without their secrets, the oldest first", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withURL(cmd, s, func(ctx context.Context, url string) error {
				known, err := rookery.Keys(ctx, url)
				if err != nil {
					return err
				}
				if s.json {
					return printJSON(known)
				}
				return table("KEY\tNAME\tSCOPES\tQUEUES\tMADE\tBY\tEXPIRES\tREVOKED\tLAST USED", func(line func(...any)) {
					for _, k := range known {
						var scopes []string
						for _, scope := range k.Scopes {
							scopes = append(scopes, string(scope))
						}
						queues := "all"
						if len(k.Queues) > 0 {
							queues = strings.Join(k.Queues, ",")
						}
						line(k.ID, printable(k.Name), strings.Join(scopes, ","), queues, k.CreatedAt.Format(time.RFC3339), printable(k.CreatedBy),
							orWord(k.ExpiresAt, "never"), orWord(k.RevokedAt, "no"), orWord(k.LastUsedAt, "never"))
					}
				})
			})
		},
	}
}

func orWord(at *time.Time, word string) string {
	if at == nil {
		return word
	}
	return at.Format(time.RFC3339)
}

func keysRevoke(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "revoke KEY", Short: "End a key for good; servers know within 5 s", Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !job.IsKeyID(args[0]) {
				// Not repeated: it may be a whole key.
				return &usageError{fmt.Errorf("that is not the id of a key, 13 of a to z and 2 to 7; rookery keys list shows them")}
			}
			return withURL(cmd, s, func(ctx context.Context, url string) error {
				revoked, err := rookery.RevokeKey(ctx, url, args[0])
				if err != nil {
					return err
				}
				if !revoked {
					return fmt.Errorf("key %s was revoked already", args[0])
				}
				fmt.Println(args[0], "revoked")
				return nil
			})
		},
	}
}
