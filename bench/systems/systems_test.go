package systems

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/bench/actor"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// patience bounds every wait; Asynq looks for what is to be tried again every 5 s.
const patience = 60 * time.Second

func TestMain(m *testing.M) { devtest.Main(m) }

func newServers(t *testing.T) actor.Servers {
	t.Helper()
	return actor.Servers{DatabaseURL: devtest.EmptyPostgres(t), RedisURL: devtest.Redis(t)}
}

// seen is what the handlers of a test were given.
type seen struct {
	mu       sync.Mutex
	attempts map[int64]int
	ran      map[int64]int
	at       map[int64]time.Time // of the first attempt
}

// handle lets the first attempt of every tenth job fail.
func (s *seen) handle(_ context.Context, payload []byte) error {
	n, err := numberOf(string(payload))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempts[n]++; s.attempts[n] == 1 {
		s.at[n] = time.Now()
	}
	if n%10 == 0 && s.attempts[n] == 1 {
		return fmt.Errorf("job %d fails once", n)
	}
	s.ran[n]++
	return nil
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ran)
}

func numberOf(payload string) (int64, error) {
	_, rest, ok := strings.Cut(payload, `"n":`)
	digits, _, end := strings.Cut(rest, ",")
	if !ok || !end {
		return 0, fmt.Errorf("payload %q has no n", payload)
	}
	return strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
}

func makeJobs(queue string, from, to int64) []actor.Job {
	var jobs []actor.Job
	for n := from; n < to; n++ {
		jobs = append(jobs, actor.Job{Number: n, Queue: queue, Payload: fmt.Appendf(nil, `{"n":%d,"pad":"<&> …%d"}`, n, n)})
	}
	return jobs
}

func mustInsert(t *testing.T, p actor.Producer, jobs []actor.Job) {
	t.Helper()
	if err := p.Insert(t.Context(), jobs); err != nil {
		t.Fatalf("Insert of %d jobs: %v", len(jobs), err)
	}
}

// insertAll inserts jobs 0 to 204 in seven transactions, four of which have a
// business row, and returns how many; two jobs are for later, where that can be.
func insertAll(t *testing.T, sys actor.System, s actor.Servers, delays bool) (jobs int) {
	t.Helper()
	for business, from := range map[bool]int64{false: 0, true: 103} {
		p, err := sys.Producer(t.Context(), s, actor.ProduceOptions{Producers: 2, PerTx: 100, Business: business})
		if err != nil {
			t.Fatalf("Producer: %v", err)
		}
		mustInsert(t, p, makeJobs("bench", from, from+100))
		mustInsert(t, p, makeJobs("bench-1", from+100, from+101))
		jobs += 101
		if delays {
			late := makeJobs("bench", from+101, from+103)
			late[0].RunAt = time.Now().Add(time.Second)
			mustInsert(t, p, late[:1])
			late[1].RunAt = late[0].RunAt
			mustInsert(t, p, append(late[1:], makeJobs("bench", from+300, from+301)...))
			jobs += 3
		}
		p.Close()
	}
	return jobs
}

// startBeside runs what a system needs besides its workers, until the test ends.
func startBeside(t *testing.T, name string, s actor.Servers) {
	t.Helper()
	var run func(context.Context) error
	switch name {
	case "rookery", "rookery-sql":
		svc, err := rookery.Open(t.Context(), rookery.Config{DatabaseURL: s.DatabaseURL, RedisURL: s.RedisURL, LogLevel: slog.LevelWarn})
		if err != nil {
			t.Fatal(err)
		}
		relay, err := svc.Relay()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = svc.Close() })
		run = relay.Run
	case "floor":
		run = func(ctx context.Context) error { return FloorRelay(ctx, s) }
	default:
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("what runs beside %s: %v", name, err)
		}
	})
}

func TestSystem_RunsEveryJob(t *testing.T) {
	for _, name := range Names() {
		if name == "plain" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			sys, err := New(name)
			if err != nil {
				t.Fatal(err)
			}
			s := newServers(t)
			if err := sys.Setup(t.Context(), s); err != nil {
				t.Fatalf("Setup: %v", err)
			}
			startBeside(t, name, s)
			delays, inserting := name != "floor", time.Now()
			jobs := insertAll(t, sys, s, delays)
			if left, err := sys.Left(t.Context(), s); err != nil || left != int64(jobs) {
				t.Fatalf("Left before work = %d, %v, want %d", left, err, jobs)
			}

			got := &seen{attempts: map[int64]int{}, ran: map[int64]int{}, at: map[int64]time.Time{}}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ready, done := make(chan struct{}), make(chan error, 1)
			go func() {
				done <- sys.Work(ctx, s, actor.WorkOptions{Queue: []string{"bench", "bench-1"}}, func() { close(ready) }, got.handle)
			}()
			select {
			case <-ready:
			case err := <-done:
				t.Fatalf("Work ended: %v", err)
			}
			devtest.Until(t, patience, "every job to have run", func() (bool, error) { return got.count() == jobs, nil })
			devtest.Until(t, patience, "Left to be 0", func() (bool, error) {
				left, err := sys.Left(t.Context(), s)
				return left == 0, err
			})
			stop()
			if err := <-done; err != nil {
				t.Errorf("Work = %v, want nil", err)
			}
			checkRuns(t, got, inserting, delays)
			checkOrders(t, s, delays)
			t.Log(sys.Settings())
		})
	}
}

// checkRuns looks at the attempts: one, or two of those that fail once, and none of
// what was for later before its time.
func checkRuns(t *testing.T, got *seen, inserting time.Time, delays bool) {
	t.Helper()
	for n, attempts := range got.attempts {
		want := 1
		if n%10 == 0 {
			want = 2
		}
		if attempts != want || got.ran[n] != 1 {
			t.Errorf("job %d had %d attempts and ran %d times, want %d and 1", n, attempts, got.ran[n], want)
		}
	}
	for _, n := range []int64{101, 102, 204, 205} {
		if delays && got.at[n].Before(inserting.Add(time.Second)) {
			t.Errorf("job %d ran %s after it was inserted, want 1s or more", n, got.at[n].Sub(inserting))
		}
	}
}

func checkOrders(t *testing.T, s actor.Servers, delays bool) {
	t.Helper()
	want := int64(2)
	if delays {
		want = 4
	}
	if n, err := count(t.Context(), s, `SELECT count(*) FROM bench_orders`); err != nil || n != want {
		t.Errorf("bench_orders has %d rows, %v, want %d", n, err, want)
	}
}

func TestPlain_OnlyInserts(t *testing.T) {
	s := newServers(t)
	if err := (plainSystem{}).Setup(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	jobs := insertAll(t, plainSystem{}, s, false)
	if left, err := (plainSystem{}).Left(t.Context(), s); err != nil || left != int64(jobs) {
		t.Errorf("Left = %d, %v, want %d", left, err, jobs)
	}
	checkOrders(t, s, false)
	if err := (plainSystem{}).Work(t.Context(), s, actor.WorkOptions{}, func() {}, nil); err == nil {
		t.Error("Work = nil, want an error")
	}
}

// A transaction that commits after one with higher ids must not be passed over.
func TestFloorRelay_FindsWhatCommitsLate(t *testing.T) {
	s := newServers(t)
	if err := (floorSystem{}).Setup(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	pool, err := openPool(t.Context(), s.DatabaseURL, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, db := range []querier{tx, pool} { // the later ids are committed first
		if err := insertFloor(t.Context(), db, makeJobs("bench", 0, 3)); err != nil {
			t.Fatal(err)
		}
	}
	startBeside(t, "floor", s)
	client, err := openRedis(s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	length := func(want int64) {
		t.Helper()
		devtest.Until(t, patience, fmt.Sprintf("%d in the list", want), func() (bool, error) {
			n, err := client.LLen(t.Context(), floorList).Result()
			return n == want, err
		})
	}
	length(3)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	length(6)
}

func TestNew_NamesWhatThereIs(t *testing.T) {
	for _, name := range Names() {
		sys, err := New(name)
		if err != nil || sys.Settings() == "" {
			t.Errorf("New(%q) = %v, %v, want a system with settings", name, sys, err)
		}
	}
	if _, err := New("nothing"); err == nil || !strings.Contains(err.Error(), "river-bench") {
		t.Errorf(`New("nothing") = %v, want an error that names the systems`, err)
	}
}
