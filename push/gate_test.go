package push

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func counted(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// many has n requests pass g, each taking d and then feeling as m says, and returns how
// many were under way at once at most, and how long it took.
func many(t *testing.T, g *gate, n int, d time.Duration, m mood) (most int, took time.Duration) {
	t.Helper()
	began := time.Now()
	done := make(chan struct{})
	for range n {
		go func() {
			if err := g.enter(t.Context()); err != nil {
				t.Errorf("enter = %v", err)
			}
			g.mu.Lock()
			most = max(most, g.inFlight)
			g.mu.Unlock()
			from := time.Now()
			<-time.After(d)
			g.leave(from, time.Now(), m, 0)
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
	return most, time.Since(began)
}

func TestGate_SoManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if most, took := many(t, newGate(3, 0), 10, time.Second, calm); most != 3 || took != 4*time.Second {
			t.Errorf("10 requests of 1 s through a gate for 3: %d at once in %s, want 3 in 4s", most, took)
		}
	})
}

func TestGate_SoManyASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if _, took := many(t, newGate(100, 4), 9, 0, calm); took != 2*time.Second {
			t.Errorf("9 requests at 4 a second took %s, want 2s from the first to the last", took)
		}
	})
}

// Ten busy answers that were under way together halve the limit once; success brings it
// back one by one.
func TestGate_HalvesAndRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, 0)
		for _, want := range []float64{4, 2, 1, 1} {
			if many(t, g, int(g.present()), time.Second, busy); g.present() != want {
				t.Fatalf("limit after a round of busy answers = %g, want %g", g.present(), want)
			}
		}
		many(t, g, 5, time.Second, unsure)
		if g.present() != 1 {
			t.Errorf("limit after failures = %g, want it as it was", g.present())
		}
		rounds := 0
		for ; g.present() < 8 && rounds < 100; rounds++ {
			many(t, g, int(g.present()), time.Second, calm)
		}
		if rounds < 6 || rounds > 10 {
			t.Errorf("it took %d good rounds from 1 to 8, want about one for each", rounds)
		}
		many(t, g, 20, time.Second, calm)
		if g.present() != 8 {
			t.Errorf("limit = %g, want never more than the endpoint's 8", g.present())
		}
		g.leave(time.Now(), time.Now(), busy, 0)
		if g.set(8, 0); g.present() != 4 {
			t.Errorf("limit after a look that changed nothing = %g, want it still halved", g.present())
		}
		if g.set(2, 0); g.present() != 2 {
			t.Errorf("limit of an endpoint that was set to 2 = %g", g.present())
		}
	})
}

func TestGate_ShutsForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, 0)
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.leave(time.Now(), time.Now(), busy, time.Minute)
		if _, took := many(t, g, 3, 0, calm); took != time.Minute {
			t.Errorf("the next left after %s, want 1m0s", took)
		}
	})
}

func TestGate_LetsGoOfWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 0)
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		cause := errors.New("enough")
		ctx, stop := context.WithCancelCause(t.Context())
		waiting := make(chan error, 2)
		go func() { waiting <- g.enter(ctx) }()
		synctest.Wait()
		stop(cause)
		if err := <-waiting; !errors.Is(err, cause) {
			t.Errorf("enter = %v, want the cause of its ctx's end", err)
		}
		go func() { waiting <- g.enter(t.Context()) }()
		synctest.Wait()
		g.close()
		if err := <-waiting; !errors.Is(err, errClosed) {
			t.Errorf("enter of a gate that was closed = %v, want errClosed", err)
		}
	})
}
