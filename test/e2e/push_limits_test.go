package e2e

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// busyHook is a receiver that counts how many requests are under way at once.
type busyHook struct {
	*hook
	mu        sync.Mutex
	now, most int
	free      chan struct{} // one each lets one request end; closed: all
}

func newBusyHook(t *testing.T) *busyHook {
	b := &busyHook{free: make(chan struct{})}
	b.hook = newHook(t, func(_ http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.now++
		b.most = max(b.most, b.now)
		b.mu.Unlock()
		select {
		case <-b.free:
		case <-r.Context().Done():
		}
		b.mu.Lock()
		b.now--
		b.mu.Unlock()
	})
	return b
}

func (b *busyHook) counts() (now, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now, b.most
}

// Three push workers keep to one endpoint's limit together; one that is killed takes its
// part with it for no longer than its permits live; and without Redis each keeps to its
// share.
func TestPush_LimitsOverAllProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	b := newBusyHook(t)
	env := w.pushing(b.hook)
	w.relay()
	w.webhooks(env, "set", queue, "--url", b.URL, "--max-in-flight", "3", "--timeout", "10m")
	var push []*process
	for range 3 {
		push = append(push, w.rookery("push --http 127.0.0.1:0", env...))
	}
	key := fmt.Sprintf("queue:{%s}:pushers", queue)
	devtest.Until(t, patience, "three push workers to know each other", func() (bool, error) {
		n, err := w.rdb.ZCard(t.Context(), key).Result()
		return n == 3, err
	})
	ids := w.insert(30, `{}`)
	devtest.Until(t, patience, "each worker to hold jobs beyond what may leave", func() (bool, error) {
		now, _ := b.counts()
		held := 0.0
		for _, p := range push {
			held += p.metric("rookery_worker_running_jobs", "")
		}
		return now == 3 && held == 9, nil // three slots each, of which three are at the receiver
	})
	for range 10 { // each that ends lets another leave
		b.free <- struct{}{}
	}
	devtest.Until(t, patience, "the places to be taken again", func() (bool, error) {
		now, _ := b.counts()
		return now == 3, nil
	})
	if _, most := b.counts(); most != 3 {
		t.Errorf("%d requests were under way at once, want at most 3 of all processes", most)
	}
	for _, p := range push[:2] {
		p.kill() // their requests are still at the receiver, as far as Redis knows, for 15 s
	}
	devtest.Until(t, patience, "the one that is left to have all places", func() (bool, error) {
		now, _ := b.counts()
		return now == 3 && push[2].metric("rookery_worker_running_jobs", "") == 3, nil
	})
	close(b.free)
	w.untilStatus(patience, "completed", ids)
	w.rest(30 * time.Second)
}

// Without Redis each of two push workers keeps to its share of the limit, which it heard
// of before.
func TestPush_LimitsWithoutRedis(t *testing.T) {
	t.Parallel()
	slow(t)
	w := newWorld(t, worldOptions{})
	b := newBusyHook(t)
	env := w.pushing(b.hook)
	w.relay()
	w.webhooks(env, "set", queue, "--url", b.URL, "--max-in-flight", "4", "--timeout", "10m")
	var push []*process
	for range 2 {
		p := w.rookery("push --http 127.0.0.1:0", env...)
		push = append(push, p)
	}
	for _, p := range push {
		devtest.Until(t, patience, "two push workers to know each other", func() (bool, error) { return p.metric("rookery_push_processes", "") == 2, nil })
	}
	if err := w.redis.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	ids := w.insert(20, `{}`)
	devtest.Until(t, patience, "the shares to be taken", func() (bool, error) {
		now, _ := b.counts()
		return now == 4, nil
	})
	for range 6 {
		b.free <- struct{}{}
	}
	devtest.Until(t, patience, "the shares to be taken again", func() (bool, error) {
		now, _ := b.counts()
		return now == 4, nil
	})
	if _, most := b.counts(); most != 4 {
		t.Errorf("%d requests were under way at once without Redis, want at most 4", most)
	}
	close(b.free)
	w.untilStatus(patience, "completed", ids)
}
