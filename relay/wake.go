package relay

import (
	"cmp"
	"context"
	"time"
)

// dispatchLoop looks around, hands out what is due, and waits for a reason to look
// again.
func (r *Relay) dispatchLoop(ctx context.Context) error {
	var (
		p      = pace{poll: r.poll}
		passed func(context.Context) (bool, error) // while drowsy
		rest   time.Duration
		held   bool // the gate, by us
		woken  bool // the last wait was ended by the source
		asked  time.Time
	)
	defer r.look.out.Wait()
	for ctx.Err() == nil {
		if p.mood == drowsy && held { // the order to release got no answer
			passed, held = r.openGate(ctx, held)
		}
		last := p.mood == drowsy && !held && r.nobodyLeft(ctx, passed)
		f, err := r.pass(ctx, p.mood == hot, woken)
		r.trouble(ctx, "dispatch", err)
		if err != nil {
			// Who cannot push must not keep producers from waking those who can.
			if p.mood == hot {
				passed, held = r.openGate(ctx, held)
				p.mood, p.drowse = drowsy, time.Now()
			}
			rest = min(max(2*rest, 10*time.Millisecond), time.Second)
			woken = r.wait(ctx, rest)
			continue
		}
		rest = 0
		wait, shut, open := p.next(time.Now(), f)
		switch {
		case shut, p.mood == hot && !held && time.Since(asked) > safetyPoll:
			// Not held: another relay holds it, or there is no session. Then we poll hot
			// with the gate as it is, and ask again.
			held, asked = r.closeGate(ctx), time.Now()
		case open:
			passed, held = r.openGate(ctx, held)
		case last && p.mood == drowsy:
			p.sleep()
			if f.jobs == 0 && !f.blocked && !f.busy {
				wait = min(cmp.Or(r.poll, safetyPoll), f.nextIn)
			}
		}
		woken = r.wait(ctx, wait)
	}
	return nil
}

// nobodyLeft reports whether every transaction that may have seen the gate closed
// has ended.
func (r *Relay) nobodyLeft(ctx context.Context, passed func(context.Context) (bool, error)) bool {
	if passed == nil {
		return true // the gate's session is gone, and the gate with it
	}
	yes, err := passed(ctx)
	return yes || err != nil
}

func (r *Relay) closeGate(ctx context.Context) bool {
	held, err := r.source.Hold(ctx)
	if err != nil || !held {
		return false
	}
	r.metrics.gate.Set(1)
	return true
}

// openGate opens the gate. stillHeld says that it was held and that nobody knows
// whether it is open now: then it is asked again, or a sleeping relay would mute
// everybody.
func (r *Relay) openGate(ctx context.Context, held bool) (passed func(context.Context) (bool, error), stillHeld bool) {
	passed, err := r.source.Release(ctx)
	if err != nil {
		return nil, held
	}
	r.metrics.gate.Set(0)
	return passed, false
}

// wait waits for d, a wake, or ctx's end, and records pushes whose time has come. It
// reports whether it was a wake.
func (r *Relay) wait(ctx context.Context, d time.Duration) (woken bool) {
	if d <= 0 {
		return false
	}
	end := time.Now().Add(d)
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		now := time.Now()
		until := end
		if due, some := r.recordsDue(); some && due.Before(end) {
			until = due
		}
		t.Reset(max(until.Sub(now), 0))
		select {
		case <-ctx.Done():
			return false
		case <-r.nudge:
			return false
		case <-r.source.Woken():
			r.metrics.wakes.Inc()
			return true
		case <-t.C:
			now = time.Now()
			if !now.Before(end) {
				return false
			}
			err := r.record(ctx, now)
			r.trouble(ctx, "record", err)
			if err != nil {
				return false
			}
		}
	}
}
