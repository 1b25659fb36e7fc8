package redisq

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// FuzzURL: whatever stands around the password in REDIS_URL, the URL is read, or
// refused in one line that keeps the password to itself.
func FuzzURL(f *testing.F) {
	const secret = "hunter2!"
	f.Add("redis", ":", "@localhost:6379/0")
	f.Add("redis", ":two?", "@localhost:6379/0") // a question mark that is not percent-encoded
	f.Add("redis", "?read_timeout=", "@localhost")
	f.Add("redis+cluster", "h?pool_size=-1&min_idle_conns=-1&x=", "")
	f.Add("redis+sentinel", "h/m?pool_size=-1&min_idle_conns=99999999&x=", "")
	f.Add("rediss+sentinel", "me:", "@a,b:1/mymaster/4?sentinel_password=x")
	f.Fuzz(func(t *testing.T, scheme, before, after string) {
		raw := scheme + "://" + before + secret + after
		c, err := Open(t.Context(), raw)
		if err == nil {
			if err := c.Close(); err != nil {
				t.Errorf("Close() of %q = %v", raw, err)
			}
			return
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Open(%q) = %v, want one line without the password", raw, err)
		}
	})
}

// FuzzReplies: a Redis that answers anything at all, or somebody in its place, makes
// no call panic or hang, and no call hands over a job that could not exist.
func FuzzReplies(f *testing.F) {
	f.Add([]byte("*4\r\n$2\r\nOK\r\n:0\r\n*0\r\n*0\r\n"))
	// go-redis makes room for as many elements as an answer announces before it reads
	// one: "%66666666" costs gigabytes. docs/security.md says so; it is not ours to mend.
	announced := regexp.MustCompile(`[0-9]{6}`)
	f.Fuzz(func(t *testing.T, answer []byte) {
		if announced.Match(answer) {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := Options{Logger: slog.New(slog.DiscardHandler), SealKeys: devtest.SealKeys}.New(redis.NewClient(&redis.Options{
			Dialer:   func(context.Context, string, string) (net.Conn, error) { return &impostor{answer: answer}, nil },
			Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true, ReadTimeout: time.Second, MaintNotificationsConfig: quiet(),
		}))
		defer func() { _ = c.Close() }()
		ref := []job.Ref{{ID: 1, DispatchID: 2}}
		push := job.Push{Deadline: 1}
		push.QueueName, push.Epoch, push.DispatchID = "q", 1, 2
		push.Jobs = []job.Envelope{{ID: 1, DispatchID: 2, QueueName: "q"}}
		taken, err := c.Take(ctx, job.Take{QueueName: "q", Epoch: 1, WorkerID: "w", Token: "t", Limit: 5, Lease: job.Lease})
		for _, e := range taken.Jobs {
			if e.ID <= 0 || e.DispatchID <= 0 || err != nil {
				t.Errorf("Take = job %d of dispatch %d, %v", e.ID, e.DispatchID, err)
			}
		}
		gone, cancelled, err := c.Beat(ctx, "q", 1, job.Lease, ref)
		if err == nil && (len(gone) > 1 || len(cancelled) > 1 || len(gone) == 1 && gone[0] != ref[0] || len(cancelled) == 1 && cancelled[0] != ref[0]) {
			t.Errorf("Beat(%v) = %v gone, %v cancelled", ref, gone, cancelled)
		}
		calls := []func() error{
			func() error { _, err := c.Announce(ctx, "q", 1, job.Lease, ref); return err },
			func() error { _, err := c.OpenEpoch(ctx, "q", 1, false); return err },
			func() error { _, err := c.Depths(ctx, []string{"q"}); return err },
			func() error { _, err := c.Workers(ctx); return err },
			func() error { _, err := c.Inspect(ctx); return err },
			func() error { _, _, err := c.LeaseOf(ctx, "q", ref[0]); return err },
			func() error { return c.Ack(ctx, "q", 1, ref) },
			func() error { _, err := c.Expired(ctx, "q", 1, 0, 5); return err },
			func() error { _, err := c.Missing(ctx, "q", 1, ref); return err },
			func() error { _, err := c.Census(ctx, job.Census{QueueName: "q", Epoch: 1}); return err },
			func() error { _, err := c.Push(ctx, push); return err },
		}
		for i, call := range calls {
			if err := call(); errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
				t.Errorf("call %d hangs on %q", i, answer)
			}
		}
	})
}

// impostor is a connection to a server that answers everything it is sent with the
// same bytes.
type impostor struct {
	net.Conn // nil: no other method is called
	answer   []byte
	unread   bytes.Buffer
}

func (i *impostor) Write(p []byte) (int, error) {
	i.unread.Write(i.answer)
	return len(p), nil
}

func (i *impostor) Read(p []byte) (int, error)     { return i.unread.Read(p) }
func (*impostor) Close() error                     { return nil }
func (*impostor) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*impostor) SetDeadline(time.Time) error      { return nil }
func (*impostor) SetReadDeadline(time.Time) error  { return nil }
func (*impostor) SetWriteDeadline(time.Time) error { return nil }

// FuzzRef: what the scripts call the head of an envelope is what Go calls it.
func FuzzRef(f *testing.F) {
	f.Add(`{"id":1,"dispatch_id":2,"v":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		ref, ok := refOfEnvelope(text)
		if !ok {
			return
		}
		if e, err := job.Decode([]byte(text)); err == nil && e.Ref() != ref {
			t.Errorf("refOfEnvelope(%q) = %v, Decode says %v", text, ref, e.Ref())
		}
		if again, ok := parseRef(ref.String()); !ok || cmp.Diff(ref, again) != "" {
			t.Errorf("parseRef(%q) = %v, %t, want %v", ref.String(), again, ok, ref)
		}
	})
}
