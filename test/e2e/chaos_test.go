package e2e

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Three relays and four workers are killed, or frozen for longer than their lease,
// at random for 15 s, Redis is flushed in between, and producers never stop.
// ROOKERY_E2E_SEED repeats the choices, though not the interleaving.
func TestChaos_RandomKillsAndFreezes(t *testing.T) {
	slow(t)
	t.Parallel()
	c := newChaos(t, 3, 4)
	p := produce(t, c.w.inserts, 2, 15*time.Millisecond, `{"do": "sleep", "ms": 15}`)
	began, next, flushed := time.Now(), time.Now().Add(2*time.Second), false
	devtest.Until(t, patience, "15 s of chaos", func() (bool, error) {
		if time.Now().Before(next) {
			return false, nil
		}
		next = time.Now().Add(time.Duration(300+c.random.IntN(900)) * time.Millisecond)
		if c.strike(); !flushed && time.Since(began) > 7*time.Second {
			c.w.flush()
			flushed = true
		}
		return time.Since(began) > 15*time.Second, nil
	})
	c.thaw()
	p.stop(c.w)
	c.w.until(patience, "all jobs", `SELECT NOT EXISTS (SELECT FROM outbox.jobs WHERE status <> 'completed')`)
	c.w.verify(patience, allowance{reruns: math.MaxInt, excused: c.excused()})
	t.Logf("%d kills, %d freezes", c.kills, c.freezes)
	for _, p := range c.procs {
		p.terminate(30 * time.Second)
	}
}

// chaos is a world whose processes are struck at random.
type chaos struct {
	w              *world
	random         *rand.Rand
	relays         int
	procs          []*process // the first of them relays
	frozen         *process   // at most one at a time
	struck         map[int]bool
	kills, freezes int
}

func newChaos(t *testing.T, relays, workers int) *chaos {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ROOKERY_E2E_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ROOKERY_E2E_SEED=%d", seed)
	c := &chaos{
		w: newWorld(t, worldOptions{}), random: rand.New(rand.NewPCG(seed, 0)), relays: relays,
		procs: make([]*process, relays+workers), struck: map[int]bool{},
	}
	for i := range c.procs {
		c.launch(i)
	}
	return c
}

func (c *chaos) launch(i int) {
	if i < c.relays {
		c.procs[i] = c.w.relay()
	} else {
		c.procs[i] = c.w.worker(8)
	}
}

// strike kills a process and starts another in its place, or freezes it; what was
// frozen before goes on.
func (c *chaos) strike() {
	i := c.random.IntN(len(c.procs))
	if c.random.IntN(4) == 0 && c.frozen == nil {
		c.frozen = c.procs[i]
		c.frozen.signal(syscall.SIGSTOP)
		c.struck[c.frozen.pid()] = true
		c.freezes++
		return
	}
	if c.frozen != nil && c.random.IntN(4) == 0 {
		c.thaw()
	}
	c.struck[c.procs[i].pid()] = true
	if c.procs[i] == c.frozen {
		c.frozen = nil
	}
	c.procs[i].kill()
	c.launch(i)
	c.kills++
}

func (c *chaos) thaw() {
	if c.frozen != nil {
		c.frozen.signal(syscall.SIGCONT)
		c.frozen = nil
	}
}

// excused are the processes that were struck, and those that a busy machine kept
// from renewing their leases: they say so.
func (c *chaos) excused() map[int]bool {
	for _, p := range c.w.procs {
		if strings.Contains(p.err.String(), "leases were not renewed in time") && !c.struck[p.pid()] {
			c.w.t.Logf("%s (pid %d) was too slow for its leases", p.name, p.pid())
			c.struck[p.pid()] = true
		}
	}
	return c.struck
}
