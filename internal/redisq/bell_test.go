package redisq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// patience bounds every wait for what must happen.
const patience = 2 * time.Minute

// prompt is how long something takes at most, in one of many tries, that nobody waits a
// second for.
const prompt = 500 * time.Millisecond

// waiting calls Wait and returns where its error comes.
func (f *fixture) waiting(ctx context.Context, d time.Duration, queues ...string) <-chan error {
	done := make(chan error, 1)
	go func() { _, err := f.Wait(ctx, queues, d); done <- err }()
	return done
}

// listening calls Wait and returns where the queues that rang come.
func (f *fixture) listening(d time.Duration, queues ...string) <-chan []string {
	heard := make(chan []string, 1) // one: sent once
	go func() {
		rang, err := f.Wait(context.Background(), queues, d)
		f.no(err)
		heard <- rang
	}()
	return heard
}

// heard waits for f's own queue and reports whether its bell rang.
func (f *fixture) heard(ctx context.Context, d time.Duration) bool {
	f.Helper()
	rang, err := f.Wait(ctx, []string{f.queue}, d)
	f.no(err)
	return len(rang) > 0
}

// blocked polls until a listener of this client has blocked n connections.
func (f *fixture) blocked(n int) {
	f.Helper()
	devtest.Until(f, patience, "blocked connections", func() (bool, error) { return f.listeners() == n, nil })
}

func (f *fixture) listeners() int {
	f.bells.mu.Lock()
	defer f.bells.mu.Unlock()
	return len(f.bells.listeners)
}

func in(t testing.TB, done <-chan error, limit time.Duration) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatalf("Wait did not return within %s", limit)
		return nil
	}
}

func TestWait_HearsTheBellOfAnyQueue(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		others := []*fixture{f.another(), f.another(), f.another()}
		names := []string{f.queue, others[0].queue, others[1].queue, others[2].queue}
		for _, f := range append(others, f, others[1]) {
			devtest.Until(t, patience, "a push while a Wait is under way", func() (bool, error) {
				start := time.Now()
				heard := f.listening(time.Second, names...)
				devtest.Until(t, patience, "it to be under way, or over", func() (bool, error) {
					return f.listeners() == f.listenersFor(len(names)) || len(heard) > 0, nil
				})
				f.pushed(job.NewDispatchID(), 1)
				inTime := time.Since(start) < time.Second // else it may have been over before
				rang := <-heard
				f.taken(start.String(), 10)
				if inTime && !slices.Equal(rang, []string{f.queue}) {
					t.Errorf("Wait heard of %v, want %s", rang, f.queue)
				}
				return inTime, nil
			})
		}
		f.pushed(job.NewDispatchID(), 1)
		f.same("rung before it waited", <-f.listening(time.Second, names...), []string{f.queue})
	})
}

// listenersFor is how many connections wait for n queues.
func (f *fixture) listenersFor(n int) int {
	if f.bells.cluster {
		return n
	}
	return 1
}

func TestWait_ReturnsAfterItsTime(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		for _, c := range []struct{ d, least, most time.Duration }{
			{0, 0, prompt},
			{-time.Second, 0, prompt},
			{30 * time.Millisecond, 30 * time.Millisecond, prompt},
			{time.Hour, maxWait, 3 * maxWait},
		} {
			devtest.Until(t, patience, fmt.Sprintf("a Wait(%s) of at most %s", c.d, c.most), func() (bool, error) {
				start := time.Now()
				f.heard(context.Background(), c.d)
				d := time.Since(start)
				if d < c.least {
					t.Errorf("Wait(%s) took %s, want %s or more", c.d, d, c.least)
				}
				return d <= c.most, nil // a machine that stands still has it try again
			})
		}
		for _, d := range []time.Duration{0, time.Millisecond} {
			if rang, err := f.Wait(context.Background(), nil, d); err != nil || len(rang) > 0 {
				t.Errorf("Wait for no queue = %v, %v, want none", rang, err)
			}
			if _, err := f.Wait(context.Background(), []string{"a{"}, d); err == nil {
				t.Error("Wait for a bad name = nil, want an error")
			}
		}
	})
}

func TestWait_EndsWithItsContext(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(context.Background())
		done := f.waiting(ctx, time.Second, f.queue)
		f.blocked(1)
		cancel()
		if err := in(t, done, patience); !errors.Is(err, context.Canceled) || errors.Is(err, job.ErrUnavailable) {
			t.Errorf("Wait = %v, want cancelled", err)
		}
		if _, err := f.Wait(ctx, []string{f.queue}, time.Second); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait with an ended context = %v", err)
		}

		// The connection it left blocked takes this token, and must give it back.
		f.pushed(8, 1)
		devtest.Until(t, patience, "the token to be given back", func() (bool, error) {
			f.bells.mu.Lock()
			defer f.bells.mu.Unlock()
			n, err := f.rdb.LLen(context.Background(), f.bell()).Result()
			return n == 1 && len(f.bells.listeners) == 0, err
		})
	})
}

func TestWait_EndsWithClose(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		c := Options{SealKeys: devtest.SealKeys}.New(clone(f.rdb))
		g := &fixture{TB: t, Client: c, keys: f.keys, queue: f.queue, admin: f.admin}
		var done []<-chan error
		for range 5 {
			done = append(done, g.waiting(context.Background(), time.Second, f.queue, f.another().queue))
		}
		g.blocked(map[bool]int{false: 5, true: 6}[g.bells.cluster])
		f.no(c.Close())
		for _, d := range done {
			if err := in(t, d, patience); !errors.Is(err, redis.ErrClosed) || errors.Is(err, job.ErrUnavailable) {
				t.Errorf("Wait = %v, want closed", err)
			}
		}
		if _, err := c.Wait(context.Background(), []string{f.queue}, time.Second); !errors.Is(err, redis.ErrClosed) {
			t.Errorf("Wait after Close = %v, want closed", err)
		}
		if _, err := c.Take(context.Background(), f.order("t1", 1)); !errors.Is(err, redis.ErrClosed) {
			t.Errorf("Take after Close = %v, want closed", err)
		}
	})
}

// clone is a second connection pool to the same server.
func clone(rdb redis.UniversalClient) redis.UniversalClient {
	second, _ := blocking(rdb)
	return second
}

func TestWait_WakesOnePerToken(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		const sleepers = 20
		var group sync.WaitGroup
		var mu sync.Mutex
		jobs := map[int64]int{}
		for i := range sleepers {
			group.Go(func() {
				token := string(rune('a' + i))
				for n := 0; ; n++ {
					f.heard(context.Background(), time.Second)
					o := f.order(token+string(rune('a'+n)), 1)
					o.WorkerID = token
					got, err := f.Take(context.Background(), o)
					f.no(err)
					if len(got.Jobs) == 1 {
						mu.Lock()
						jobs[got.Jobs[0].ID]++
						mu.Unlock()
						return
					}
				}
			})
		}
		ids := make([]int64, sleepers)
		for i := range ids {
			ids[i] = int64(i + 1)
		}
		f.pushed(8, ids...)
		group.Wait()
		f.same("different jobs", len(jobs), sleepers)
	})
}

func TestWait_TellsWhenRedisIsAway(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t)
	f := newFixture(t, server.URL())
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	done := f.waiting(context.Background(), time.Second, f.queue)
	if err := in(t, done, patience); err != nil && !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Wait = %v, want unavailable, or nothing heard", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	for what, call := range map[string]func() error{
		"Take":  func() error { _, err := f.Take(ctx, f.order("t1", 1)); return err },
		"Ping":  func() error { return f.Ping(ctx) },
		"Depth": func() error { _, err := f.Depths(ctx, []string{f.queue}); return err },
	} {
		if err := call(); !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("%s = %v, want unavailable", what, err)
		}
	}
}

// Each look of an idle crowd costs one command, where one may name several keys.
func TestWait_LookThatHearsNothingIsOneCommand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, devtest.RedisServer(t).URL())
	queues := []string{f.queue}
	for range 49 {
		queues = append(queues, f.another().queue)
	}
	asked := func() int64 {
		info, err := f.rdb.InfoMap(context.Background(), "commandstats").Result()
		f.no(err)
		var calls int64
		if s := info["Commandstats"]["cmdstat_exists"]; s != "" {
			_, err = fmt.Sscanf(s, "calls=%d", &calls)
			f.no(err)
		}
		return calls
	}
	for _, c := range []struct{ pushed, want int64 }{{0, 1}, {1, 51}} {
		for id := range c.pushed {
			f.pushed(job.NewDispatchID(), id+1)
		}
		before := asked()
		rang, err := f.Wait(context.Background(), queues, 0)
		f.no(err)
		if n := asked() - before; int64(len(rang)) != c.pushed || n != c.want {
			t.Errorf("a look with %d bells rung = %v in %d commands, want %d", c.pushed, rang, n, c.want)
		}
	}
}

// Two listeners may hear of two bells before the Wait has left them: it returns both.
func TestWait_NoTokenIsLostBetweenTwoListeners(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		all := []*fixture{f, f.another(), f.another(), f.another(), f.another(), f.another()}
		var names []string
		for _, o := range all {
			names = append(names, o.queue)
		}
		for round := range 50 {
			heard, first := map[string]int{}, make(chan []string, 1) // one: sent once
			go func() {
				rang, _ := f.Wait(context.Background(), names, time.Second)
				first <- rang
			}()
			var pushes sync.WaitGroup
			for i, o := range all {
				pushes.Go(func() { o.pushed(job.NewDispatchID(), int64(round*100+i+1)) })
			}
			pushes.Wait()
			rang := <-first
			devtest.Until(t, patience, "all bells", func() (bool, error) {
				for _, queue := range rang {
					heard[queue]++
				}
				if len(heard) == len(all) {
					return true, nil
				}
				var err error
				rang, err = f.Wait(context.Background(), names, time.Second)
				return false, err
			})
			if f.same("queues heard of", len(heard), len(all)); t.Failed() {
				return
			}
			for _, o := range all {
				o.taken(fmt.Sprint(round, o.queue), 10)
			}
		}
	})
}
