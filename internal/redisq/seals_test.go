package redisq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// keyring is Postgres as seals sees it.
type keyring struct {
	keys  atomic.Pointer[[]job.SealKey]
	err   atomic.Pointer[error]
	reads atomic.Int64
}

// has makes the first of ids sign.
func (k *keyring) has(ids ...int32) *keyring {
	var keys []job.SealKey
	for i, id := range ids {
		keys = append(keys, job.SealKey{ID: id, Secret: bytes.Repeat([]byte{byte(id)}, 32), Signs: i == 0})
	}
	k.keys.Store(&keys)
	return k
}

func (k *keyring) fails(err error) {
	if err == nil {
		k.err.Store(nil)
		return
	}
	k.err.Store(&err)
}

func (k *keyring) read(context.Context) ([]job.SealKey, error) {
	k.reads.Add(1)
	if err := k.err.Load(); err != nil {
		return nil, *err
	}
	return *k.keys.Load(), nil
}

// with is another client of the same server, with its own keys.
func (f *fixture) with(k *keyring) *fixture {
	f.Helper()
	c := Options{Logger: slog.New(slog.DiscardHandler), SealKeys: k.read}.New(clone(f.rdb))
	f.Cleanup(func() { f.no(c.Close()) })
	return &fixture{TB: f.TB, Client: c, keys: f.keys, queue: f.queue, admin: f.admin}
}

// rested lets a client ask for keys again at once.
func (f *fixture) rested() {
	f.seals.mu.Lock()
	defer f.seals.mu.Unlock()
	f.seals.tried, f.seals.since = time.Now().Add(-2*sealsPause), time.Now().Add(-2*sealsPause)
}

func (f *fixture) take(token string) job.Taken {
	f.Helper()
	t, err := f.Take(context.Background(), f.order(token, 10))
	f.no(err)
	return t
}

// What a hand can make of an envelope it may read: none of it is run.
func TestTake_RefusesForgedEntries(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(8, 1)
		genuine, _ := f.do("LINDEX", f.normal(), 0).(string)
		f.same("taken", idsOf(f.take("t0").Jobs), []int64{1})
		f.no(f.Ack(context.Background(), f.queue, 1, refs(8, 1)))
		bare, err := f.jobs(8, 2)[0].Append(nil)
		f.no(err)
		swap := func(old, fresh string) string {
			f.Helper()
			if !strings.Contains(genuine, old) {
				f.Fatalf("no %s in %s", old, genuine)
			}
			return strings.Replace(genuine, old, fresh, 1)
		}
		other := (&fixture{TB: f.TB, Client: f.Client}).another()
		other.pushed(8, 5)
		elsewhere, _ := other.do("RPOP", other.normal()).(string)
		for name, text := range map[string]string{
			"no seal":              string(bare),
			"another id":           swap(`{"id":1,`, `{"id":2,`),
			"another dispatch":     swap(`"dispatch_id":8,`, `"dispatch_id":9,`),
			"another payload":      swap(`"to":"a@example.org"`, `"to":"e@example.org"`),
			"another kind":         swap(`"kind":"send"`, `"kind":"sell"`),
			"alone":                swap(`"alone":false`, `"alone":true`),
			"another mac":          genuine[:len(genuine)-24] + strings.Repeat("A", 22) + `"}`,
			"half a mac":           genuine[:len(genuine)-13] + `"}`,
			"a key nobody has":     swap(`"key":1,`, `"key":2,`),
			"of another queue":     elsewhere,
			"with a second member": strings.TrimSuffix(genuine, "}") + `,"id":2}`,
		} {
			f.do("LPUSH", f.normal(), text)
			ref, ok := refOfEnvelope(text)
			if !ok {
				f.Fatalf("%s: %s names no attempt", name, text)
			}
			got := f.take("t " + name)
			if len(got.Jobs)+len(got.Broken) != 0 || fmt.Sprint(got.Forged) != fmt.Sprint([]job.Ref{ref}) {
				t.Errorf("Take(%s: %s) = %+v, want %v forged and nothing else", name, text, got, ref)
			}
			f.no(f.Ack(context.Background(), f.queue, 1, got.Forged))
		}
		f.same("leases", f.do("ZCARD", f.leases()), int64(0))
		// Behind forged ones, and among them, genuine ones go their way.
		f.do("RPUSH", f.normal(), string(bare))
		f.pushed(10, 3, 4)
		f.do("LPUSH", f.normal(), `{"id":7,"dispatch_id":8,"v":1`)
		got := f.take("t last")
		f.same("genuine among forged", idsOf(got.Jobs), []int64{3, 4})
		f.same("forged", len(got.Forged), 2)
	})
}

// A copy that was kept does not outlive its epoch. While the epoch lasts it is what
// it seems: genuine. (What Postgres makes of it is TestForged_… in test/e2e.)
func TestTake_ReplayedCopies(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.pushed(8, 1)
		kept := f.do("LINDEX", f.normal(), 0)
		f.same("first", idsOf(f.take("t1").Jobs), []int64{1})
		f.do("LPUSH", f.normal(), kept)
		f.same("while it is leased", f.take("t2"), job.Taken{Jobs: []job.Envelope{}})
		f.no(f.Ack(ctx, f.queue, 1, refs(8, 1)))
		f.do("LPUSH", f.normal(), kept)
		f.same("after its ack, in its epoch", idsOf(f.take("t3").Jobs), []int64{1})
		f.no(f.Ack(ctx, f.queue, 1, refs(8, 1)))
		_, err := f.OpenEpoch(ctx, f.queue, 2, false)
		f.no(err)
		f.do("LPUSH", f.normal(), kept)
		order := f.order("t4", 10)
		order.Epoch = 2
		got, err := f.Take(ctx, order)
		f.no(err)
		f.same("in the next epoch", got, job.Taken{Jobs: []job.Envelope{}, Forged: refs(8, 1)})
	})
}

// A relay with a new key, workers with the old ones: they ask, and know.
func TestSeals_RotationUnderWay(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ring := (&keyring{}).has(1)
		worker, relay := f.with(ring), f.with((&keyring{}).has(2, 1))
		f.pushed(8, 1) // by key 1
		f.same("old key", idsOf(worker.take("t1").Jobs), []int64{1})
		reads := ring.reads.Load()
		ring.has(2, 1)
		relay.pushed(9, 2, 3)
		f.pushed(10, 4)
		relay.pushed(11, 5)
		worker.rested()
		f.same("both keys, in order", idsOf(worker.take("t2").Jobs), []int64{2, 3, 4, 5})
		f.same("readings", ring.reads.Load()-reads, int64(1))
		// What a worker gives back it seals with its own key.
		f.no(worker.Release(context.Background(), f.queue, 1, f.jobs(10, 4)))
		f.same("released", idsOf(relay.take("t3").Jobs), []int64{4})
		// Retired: what key 1 sealed is not run any more, once the keys are read again.
		ring.has(2)
		f.pushed(12, 6)
		worker.rested()
		f.no(errOf(worker.seals.newer(context.Background(), worker.seals.known)))
		f.same("retired key", worker.take("t4"), job.Taken{Jobs: []job.Envelope{}, Forged: refs(12, 6)})
	})
}

func errOf(_ *job.Seals, err error) error { return err }

// Postgres cannot be asked about a key: its envelopes wait in the window, others go
// on, and no attempt is lost.
func TestSeals_UnknownKeyWithPostgresAway(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		ring := (&keyring{}).has(1)
		worker, relay := f.with(ring), f.with((&keyring{}).has(2, 1))
		f.same("nothing yet", worker.take("t0"), job.Taken{Jobs: []job.Envelope{}})
		ring.fails(fmt.Errorf("%w: refused", job.ErrUnavailable))
		jobs := f.jobs(8, 1, 2, 3)
		jobs[2].Priority = 1
		_, err := relay.Push(ctx, f.batch(jobs...))
		f.no(err)
		before := f.do("LRANGE", f.normal(), 0, -1)
		for i := range 3 { // at first it asks, then it has asked within a second
			if i == 0 {
				worker.rested()
			}
			if got, err := worker.Take(ctx, f.order(fmt.Sprint("t1", i), 10)); !errors.Is(err, job.ErrUnavailable) {
				t.Errorf("Take = %+v, %v, want %v", got, err, job.ErrUnavailable)
			}
			f.same("high", f.do("LLEN", f.high()), int64(1))
			f.same("normal", f.do("LRANGE", f.normal(), 0, -1), before)
			f.same("leases", f.do("ZCARD", f.leases()), int64(0))
		}
		f.pushed(9, 4)
		f.same("one it knows among them", idsOf(worker.take("t2").Jobs), []int64{4})
		f.same("readings", ring.reads.Load(), int64(2))
		ring.fails(nil)
		ring.has(2, 1)
		worker.rested()
		f.same("Postgres is back", idsOf(worker.take("t3").Jobs), []int64{3, 1, 2})
	})
}

// Without keys nothing is taken and nothing pushed, and a relay is given no depth to
// claim for.
func TestSeals_NothingMovesWithoutKeys(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		ring := (&keyring{}).has(1)
		f.pushed(8, 1)
		for what, fails := range map[string]func(*keyring){
			"Postgres away":      func(k *keyring) { k.fails(fmt.Errorf("%w: refused", job.ErrUnavailable)) },
			"no right":           func(k *keyring) { k.fails(errors.New("permission denied for table seals")) },
			"no keys":            func(k *keyring) { k.has() },
			"a key that is none": func(k *keyring) { k.has(-1) },
		} {
			ring := (&keyring{}).has(1)
			fails(ring)
			g := f.with(ring)
			before := f.state()
			_, push := g.Push(ctx, f.batch(f.jobs(9, 2)...))
			_, take := g.Take(ctx, f.order("t1", 1))
			_, census := g.Census(ctx, job.Census{QueueName: f.queue, Epoch: 1})
			_, open := g.OpenEpoch(ctx, f.queue, 2, false)
			release := g.Release(ctx, f.queue, 1, f.jobs(8, 1))
			for call, err := range map[string]error{"Push": push, "Take": take, "Census": census, "OpenEpoch": open, "Release": release} {
				// Unavailable: the relay must not take the jobs for odd ones.
				if !errors.Is(err, job.ErrUnavailable) {
					t.Errorf("%s, %s = %v, want %v", call, what, err, job.ErrUnavailable)
				}
			}
			f.same("Redis", f.state(), before)
			f.same(what+": readings", ring.reads.Load(), int64(1))
			ring.has(1)
			ring.fails(nil)
			g.rested()
			_, err := g.Census(ctx, job.Census{QueueName: f.queue, Epoch: 1})
			f.no(err)
		}
		looking := New(clone(f.rdb))
		defer looking.Close()
		if _, err := looking.Push(ctx, f.batch(f.jobs(9, 2)...)); !errors.Is(err, errNoKeys) {
			t.Errorf("Push of a client that looks = %v, want %v", err, errNoKeys)
		}
		if _, err := looking.Take(ctx, f.order("t1", 1)); !errors.Is(err, errNoKeys) {
			t.Errorf("Take of a client that looks = %v, want %v", err, errNoKeys)
		}
		if _, err := looking.Depths(ctx, []string{f.queue}); err != nil {
			t.Errorf("Depths of a client that looks = %v", err)
		}
		f.same("once they are there", idsOf(f.with(ring).take("t2").Jobs), []int64{1})
	})
}

// How often keys are read: every half minute, a second after a failure, and once a
// second whatever lies in the window.
func TestSeals_Pace(t *testing.T) {
	// db.Store.SealKeys lets a key sign when it is a minute old: who opens must have
	// read it by then, also when a reading was missed once.
	if sealsFresh > 30*time.Second {
		t.Errorf("keys are read every %s, want twice before a new one signs", sealsFresh)
	}
	synctest.Test(t, func(t *testing.T) {
		ring := (&keyring{}).has(1)
		s := newSeals(ring.read, slog.New(slog.DiscardHandler))
		defer s.close()
		use := func() *job.Seals {
			known, err := s.keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return known
		}
		want := func(when string, reads int64) {
			t.Helper()
			if got := ring.reads.Load(); got != reads {
				t.Errorf("readings %s = %d, want %d", when, got, reads)
			}
		}
		first := use()
		for range 100 {
			use()
		}
		want("at the start", 1)
		time.Sleep(sealsFresh - time.Millisecond) // synctest: time passes
		use()
		want("before half a minute", 1)
		time.Sleep(2 * time.Millisecond) // synctest: time passes
		if use() != first {
			t.Error("keys() waited for a reading")
		}
		want("after half a minute", 2)
		if use() == first {
			t.Error("the keys that were read are not used")
		}
		// A flood of keys that nobody has.
		known := s.known
		for range 100 {
			if again, err := s.newer(t.Context(), known); err != nil || again != known {
				t.Fatalf("newer = %p, %v, want %p", again, err, known)
			}
		}
		want("within a second", 2)
		time.Sleep(sealsPause) // synctest: time passes
		if again, err := s.newer(t.Context(), known); err != nil || again == known {
			t.Fatalf("newer after a second = %p, %v, want others than %p", again, err, known)
		}
		want("after a second", 3)
		// Postgres is away for long: what is known serves on.
		ring.fails(job.ErrUnavailable)
		time.Sleep(time.Hour) // synctest: time passes
		for range 100 {
			use()
		}
		want("when it fails", 4)
		time.Sleep(sealsPause + time.Millisecond) // synctest: time passes
		use()
		want("a second after a failure", 5)
	})
}

// A reading that hangs ends with the client, and keeps nobody waiting who has keys.
func TestSeals_CloseEndsAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := false
		read := func(ctx context.Context) ([]job.SealKey, error) {
			if hang {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return devtest.SealKeys(ctx)
		}
		s := newSeals(read, slog.New(slog.DiscardHandler))
		if _, err := s.keys(t.Context()); err != nil {
			t.Fatal(err)
		}
		hang = true
		time.Sleep(time.Minute) // synctest: time passes
		began := time.Now()
		if _, err := s.keys(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.newer(ctx, s.known); !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("newer beside a reading that hangs = %v, want %v", err, job.ErrUnavailable)
		}
		s.close()
		if d := time.Since(began); d != time.Second {
			t.Errorf("all of it took %s, want the second of one caller's patience", d)
		}
		if _, err := s.keys(t.Context()); err != nil {
			t.Errorf("keys after close = %v", err)
		}
	})
}
