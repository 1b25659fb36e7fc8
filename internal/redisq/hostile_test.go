package redisq

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// Text that ends a string in Lua, a line of the protocol, or a key.
var hostileText = []string{
	`"); redis.call("FLUSHALL") --`, "]]; return redis.call('FLUSHALL') --", "a\r\n$5\r\nhello\r\n*1\r\n$8\r\nFLUSHALL\r\n", "q}:meta", "{other}:leases", "a:1", "%1", "\\", "a\x1b[2J",
}

// TestHostile_PassesThrough: kinds, headers, payloads and worker ids go to Redis and
// back byte by byte; they make no key but the worker's own, and nothing runs.
func TestHostile_PassesThrough(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		bystander := f.another()
		bystander.pushed(7, 1, 2)
		for i, text := range hostileText {
			quoted, err := json.Marshal(text)
			f.no(err)
			jobs := f.jobs(int64(100+i), int64(1+i))
			jobs[0].Kind, jobs[0].Payload, jobs[0].Headers = text, quoted, json.RawMessage(`{`+string(quoted)+`:`+string(quoted)+`}`)
			_, err = f.Push(t.Context(), f.batch(jobs...))
			f.no(err)
			order := f.order(text, 10)
			order.WorkerID = text
			taken, err := f.Take(t.Context(), order)
			f.no(err)
			again, err := f.Take(t.Context(), order)
			f.no(err)
			f.same("taken by "+text, taken.Jobs, jobs)
			f.same("taken again by "+text, again.Jobs, jobs)
			f.same("receipt of "+text, f.do("EXISTS", f.receipt(text)), int64(1))
			f.no(f.Ack(t.Context(), f.queue, 1, refs(int64(100+i), int64(1+i))))
			f.no(f.Register(t.Context(), job.Process{ID: text, Role: "worker", Host: text}))
		}
		workers, err := f.Workers(t.Context())
		f.no(err)
		found := 0
		for _, w := range workers {
			for _, text := range hostileText {
				if w.ID == text && w.Host == text {
					found++
				}
			}
			f.no(f.Unregister(t.Context(), w.ID))
		}
		f.same("registered", found, len(hostileText))
		f.same("leases", f.do("ZCARD", f.leases()), int64(0))
		f.same("the bystander's jobs", bystander.taken("t", 5), []int64{1, 2})
	})
}

// TestHostile_QueueNames: a name that is no hash tag is refused by every verb before
// anything is sent.
func TestHostile_QueueNames(t *testing.T) {
	t.Parallel()
	c, err := Open(t.Context(), "redis://127.0.0.1:1") // nobody answers there
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{TB: t, Client: c}
	defer func() { _ = c.Close() }()
	ref := refs(1, 2)
	for _, name := range append([]string{"", "a b", "a{b}", strings.Repeat("q", 101), "q\x00", "é"}, hostileText[0], hostileText[2], hostileText[3]) {
		p := f.batch(f.jobs(1, 2)...)
		p.QueueName = name
		calls := map[string]func() error{
			"Push":      func() error { _, err := f.Push(t.Context(), p); return err },
			"Take":      func() error { o := f.order("t", 1); o.QueueName = name; _, err := f.Take(t.Context(), o); return err },
			"Beat":      func() error { _, _, err := f.Beat(t.Context(), name, 1, job.Lease, ref); return err },
			"Ack":       func() error { return f.Ack(t.Context(), name, 1, ref) },
			"Drop":      func() error { return f.Drop(t.Context(), name, 1, ref) },
			"Cancel":    func() error { return f.Cancel(t.Context(), name, 1, ref) },
			"Missing":   func() error { _, err := f.Missing(t.Context(), name, 1, ref); return err },
			"OpenEpoch": func() error { _, err := f.OpenEpoch(t.Context(), name, 1, false); return err },
			"Depths":    func() error { _, err := f.Depths(t.Context(), []string{name}); return err },
		}
		for verb, call := range calls {
			if err := call(); err == nil || !strings.Contains(err.Error(), "queue_name has ") || strings.ContainsAny(err.Error(), "\x00") {
				t.Errorf("%s(queue %q) = %v, want a FieldError of queue_name", verb, name, err)
			}
		}
	}
}
