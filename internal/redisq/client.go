package redisq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// Options are what a [Client] may be told; the zero value works.
type Options struct {
	// Logger hears of what no caller is told; nil is slog.Default().
	Logger *slog.Logger
	// SealKeys reads the keys that envelopes are sealed with; the Client asks again
	// and again, since keys change. nil makes a client that looks: it neither pushes,
	// nor takes, nor releases.
	SealKeys func(context.Context) ([]job.SealKey, error)
}

// Client speaks to one Redis, single, Sentinel or Cluster. It is safe for
// concurrent use.
type Client struct {
	rdb     redis.UniversalClient
	scripts *scripts
	bells   *bells
	seals   *seals
	log     *slog.Logger
}

// Open is [Options.Open] with the zero Options.
func Open(ctx context.Context, url string) (*Client, error) { return Options{}.Open(ctx, url) }

// New is [Options.New] with the zero Options.
func New(rdb redis.UniversalClient) *Client { return Options{}.New(rdb) }

// Open returns a client for url:
//
//	redis://[user:password@]host[:6379][/db]        rediss:// for TLS
//	unix://[user:password@]/path/redis.sock[?db=1]
//	redis+sentinel://[user:password@]host1[:26379],host2/mymaster[/db]     or rediss+sentinel
//	redis+cluster://[user:password@]host1[:6379],host2                     or rediss+cluster
//
// User and password are those of Redis; Sentinel's own are the options
// sentinel_username and sentinel_password behind a question mark, where go-redis'
// options (pool_size, read_timeout, …) may stand too. The error names the part of
// url that is wrong and never shows the password.
//
// Open does not connect: a relay starts, and workers work, while Redis is away.
// [Client.Ping] does.
func (o Options) Open(ctx context.Context, url string) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rdb, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	return o.New(rdb), nil
}

// New returns a client on top of rdb and owns it: [Client.Close] closes it. rdb
// should have ContextTimeoutEnabled, or a context's deadline ends no call.
func (o Options) New(rdb redis.UniversalClient) *Client {
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	return &Client{rdb: rdb, scripts: loadScripts(), bells: newBells(rdb, log), seals: newSeals(o.SealKeys, log), log: log}
}

// Close ends every blocked [Client.Wait] and closes all connections. Closing again
// does nothing.
func (c *Client) Close() error {
	c.seals.close()
	err := c.bells.close()
	if again := c.rdb.Close(); !errors.Is(again, redis.ErrClosed) {
		err = errors.Join(err, again)
	}
	if err != nil {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}

// Ping returns nil when Redis answers. The error wraps [job.ErrUnavailable] when
// it may answer later.
func (c *Client) Ping(ctx context.Context) error {
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping redis: %w", translate(err))
	}
	return nil
}

// once is a command that go-redis must not send a second time. (MaxRetries on the
// client would do so for all commands, and does nothing in a cluster.)
type once struct{ *redis.Cmd }

// NoRetry is what go-redis asks.
func (once) NoRetry() bool { return true }

// run sends a script and returns its answer, or its refusal as a named error. The
// caller wraps.
func (c *Client) run(ctx context.Context, s *script, keys []string, args []any) (reply, error) {
	if s.err != nil {
		return nil, s.err
	}
	words := make([]any, 3, 3+len(keys)+len(args))
	words[0], words[1], words[2] = "evalsha", s.sha, len(keys)
	for _, key := range keys {
		words = append(words, key)
	}
	words = append(words, args...)
	answer, err := c.send(ctx, s, words)
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // not executed: this server meets the script for the first time
		words[0], words[1] = "eval", s.source
		answer, err = c.send(ctx, s, words)
	}
	if err != nil {
		return nil, translate(err)
	}
	return answer, refusal(answer)
}

func (c *Client) send(ctx context.Context, s *script, words []any) (reply, error) {
	cmd := redis.NewCmd(ctx, words...)
	var err error
	if s.once {
		err = c.rdb.Process(ctx, once{cmd})
	} else {
		err = c.rdb.Process(ctx, cmd)
	}
	if err != nil {
		return nil, err
	}
	answer, err := cmd.Slice()
	return answer, err
}

// wrap names the verb and the queue once, for every method that runs a script.
func wrap(s *script, queue string, err error) error {
	if err == nil {
		return nil
	}
	if job.CheckQueueName(queue) != nil {
		return fmt.Errorf("%s: %w", s.verb, err) // err is about the name, which may hold anything
	}
	return fmt.Errorf("%s queue %s: %w", s.verb, queue, err)
}

// onRefs runs a script that takes lease members, [job.MaxBatch] at a time: head
// are the arguments before the members. each sees every answer.
func (c *Client) onRefs(ctx context.Context, s *script, keys []string, head []any, refs []job.Ref, each func(r reply, refs []job.Ref)) error {
	for len(refs) > 0 {
		n := min(len(refs), job.MaxBatch)
		args := append(make([]any, 0, len(head)+n), head...)
		r, err := c.run(ctx, s, keys, members(args, refs[:n]))
		if err != nil {
			return err
		}
		if each != nil {
			each(r, refs[:n])
		}
		refs = refs[n:]
	}
	return nil
}
