package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

func TestEpoch_ClaimOfAnotherGivesNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sql   string
		epoch int64
	}{
		"older":                {"UPDATE outbox.queues SET epoch = 2", 1},
		"newer":                {"SELECT 1", 2},
		"of another Postgres":  {"UPDATE outbox.queues SET life = '1:00000009'", 1},
		"of a queue unknown":   {"DELETE FROM outbox.queues", 1},
		"of a queue on paused": {"UPDATE outbox.queues SET paused = true", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.insert(3)
			w.exec(tt.sql)
			c := order(500)
			c.Epoch = tt.epoch
			if b, err := w.Claim(t.Context(), c); err != nil || len(b.Jobs) != 0 {
				t.Errorf("Claim = %d jobs, %v, want none", len(b.Jobs), err)
			}
			prio := 1
			b, ok, err := w.Express(t.Context(), job.Spec{QueueName: queue, Payload: []byte(`{}`), Priority: &prio, MaxAttempts: 1}, c)
			if err != nil || ok || len(b.Jobs) != 0 {
				t.Errorf("Express = %d jobs, %t, %v, want none", len(b.Jobs), ok, err)
			}
			if n := get[int](w, "SELECT count(*) FROM outbox.dispatches"); n != 0 {
				t.Errorf("ledger rows = %d, want none", n)
			}
			if n := get[int](w, "SELECT count(*) FROM outbox.jobs AS j JOIN outbox.ready AS r ON r.job_id = j.id WHERE status = 'queued'"); n != 3 {
				t.Errorf("queued and ready = %d, want 3", n)
			}
		})
	}
}

func TestEpoch_RequeueOfAnotherChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	want := w.traces(ref.ID)
	for _, epoch := range []int64{0, 2} {
		got, err := w.Requeue(t.Context(), job.Requeue{QueueName: queue, Epoch: epoch, Attempts: []job.LostAttempt{{Ref: ref, Counts: true}}})
		if err != nil || len(got) != 0 {
			t.Errorf("Requeue in epoch %d = %v, %v, want none", epoch, got, err)
		}
	}
	if diff := cmp.Diff(want, w.traces(ref.ID)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEpoch_Begin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("UPDATE outbox.queues SET paused = true, life = 'another'")
	for _, tt := range []struct {
		seen, redis, want int64
		begun             bool
	}{
		{seen: 0, want: 0},
		{seen: 2, want: 0},
		{seen: 1, redis: 0, want: 2, begun: true},
		{seen: 1, redis: 9, want: 0},
		{seen: 2, redis: 2, want: 3, begun: true},
		{seen: 3, redis: 40, want: 41, begun: true},
		{seen: 41, redis: 7, want: 42, begun: true},
	} {
		epoch, paused, begun, err := w.BeginEpoch(t.Context(), queue, tt.seen, tt.redis)
		if err != nil || epoch != tt.want || begun != tt.begun || paused != tt.begun {
			t.Errorf("BeginEpoch(seen %d, redis %d) = %d, %t, %t, %v, want %d, %t", tt.seen, tt.redis, epoch, paused, begun, err, tt.want, tt.begun)
		}
	}
	queues, life, _, err := w.Queues(t.Context())
	if err != nil || len(queues) != 1 || queues[0].Epoch != 42 || queues[0].Life != life || life == "" || !queues[0].Paused {
		t.Errorf("Queues = %+v, life %q, %v, want epoch 42 of this life", queues, life, err)
	}
}

func TestEpoch_OneOfManyRelaysBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for seen := int64(1); seen <= 20; seen++ {
		began := make(chan bool, 4)
		try := func(ctx context.Context) error {
			_, _, begun, err := w.BeginEpoch(ctx, queue, seen, 0)
			began <- begun
			return err
		}
		w.all(try, try, try, try)
		n := 0
		for range 4 {
			if <-began {
				n++
			}
		}
		if n != 1 {
			t.Errorf("epoch %d was begun by %d relays, want 1", seen+1, n)
		}
	}
}

// A requeue holds the epoch it was decided in until it has committed.
func TestEpoch_BeginWaitsForAnOpenRequeue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	// A row of the same key in an open transaction stops the requeue half-way.
	tx := w.begun()
	w.in(tx, "INSERT INTO outbox.ready SELECT queue_name, -1, id, outbox.size_of(payload, headers) FROM outbox.jobs WHERE id = $1", ref.ID)
	requeue := make(chan []job.Verdict, 1)
	go func() {
		got, err := w.Requeue(context.Background(), job.Requeue{QueueName: queue, Epoch: 1, Attempts: []job.LostAttempt{{Ref: ref, Counts: true}}})
		if err != nil {
			t.Errorf("Requeue: %v", err)
		}
		requeue <- got
	}()
	w.waitsForLock()
	// BeginEpoch would wait here; this says so at once.
	if _, err := w.side.Exec(t.Context(), "SELECT FROM outbox.queues FOR NO KEY UPDATE NOWAIT"); err == nil {
		t.Error("the queue's row can be changed while a requeue is open")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-requeue; len(got) != 1 || got[0].Status != job.Queued {
		t.Errorf("Requeue = %v, want queued", got)
	}
	if _, _, begun, err := w.BeginEpoch(t.Context(), queue, 1, 0); err != nil || !begun {
		t.Errorf("BeginEpoch after it = %t, %v, want begun", begun, err)
	}
}

// And a requeue that waits for a new epoch to begin takes nothing back.
func TestEpoch_RequeueWaitsForAnOpenBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	tx := w.begun()
	w.in(tx, "UPDATE outbox.queues SET epoch = 2")
	requeue := make(chan []job.Verdict, 1)
	go func() {
		got, err := w.Requeue(context.Background(), job.Requeue{QueueName: queue, Epoch: 1, Attempts: []job.LostAttempt{{Ref: ref, Counts: true}}})
		if err != nil {
			t.Errorf("Requeue: %v", err)
		}
		requeue <- got
	}()
	w.waitsForLock()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-requeue; len(got) != 0 {
		t.Errorf("Requeue of the epoch before = %v, want none", got)
	}
	if got := w.traces(ref.ID).Status; got != job.Dispatched {
		t.Errorf("status = %s, want dispatched", got)
	}
}

func TestEpoch_WorkersBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	beat := func(id, role string, epochs map[string]int64) map[string]int64 {
		t.Helper()
		got, err := w.Beat(t.Context(), job.Process{ID: id, Role: role, Host: "h", PID: 1, Epochs: epochs})
		if err != nil {
			t.Fatalf("Beat(%s): %v", id, err)
		}
		return got.Epochs
	}
	behind := func(epoch, want int64) {
		t.Helper()
		if got, err := w.WorkersBehind(t.Context(), queue, epoch); err != nil || got != want {
			t.Errorf("WorkersBehind(%d) = %d, %v, want %d", epoch, got, err, want)
		}
	}
	behind(1, 0)
	if got := beat("w1", "worker", map[string]int64{queue: 1}); got[queue] != 1 {
		t.Errorf("Beat = %v, want epoch 1 of %s", got, queue)
	}
	beat("w2", "worker", map[string]int64{queue: 1, "other": 7})
	beat("w3", "worker", map[string]int64{"other": 0}) // does not serve the queue
	beat("w4", "worker", nil)
	beat("r1", "relay", map[string]int64{queue: 0})
	behind(1, 0)
	behind(2, 2)
	beat("w1", "worker", map[string]int64{queue: 2})
	behind(2, 1)
	// Cut off from Postgres, or dead: nobody can tell, so it counts until it is forgotten.
	w.exec("UPDATE outbox.processes SET beat_at = now() - interval '59 minutes' WHERE id = 'w2'")
	beat("r1", "relay", nil)
	behind(2, 1)
	w.exec("UPDATE outbox.processes SET beat_at = now() - interval '1 hour 1 minute' WHERE id = 'w2'")
	beat("r1", "relay", nil)
	behind(2, 0)
	if err := w.Retire(t.Context(), "w4"); err != nil {
		t.Fatalf("Retire: %v", err)
	}
	beat("r1", "relay", nil) // forgets who has been silent for an hour
	got, err := w.Processes(t.Context(), "")
	if err != nil {
		t.Fatalf("Processes: %v", err)
	}
	var ids []string
	for _, p := range got {
		ids = append(ids, p.ID)
		if p.Host != "h" || p.PID != 1 || p.StartedAt.IsZero() || p.BeatAt.IsZero() || p.RedisAt != nil {
			t.Errorf("process = %+v", p)
		}
	}
	if diff := cmp.Diff([]string{"r1", "w1", "w3"}, ids); diff != "" {
		t.Errorf("Processes after Retire (-want +got):\n%s", diff)
	}
}

// redis_at is when a process last reached Redis, and stays while it does not.
func TestEpoch_BeatRemembersRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var first time.Time
	for i, ok := range []bool{true, false} {
		if _, err := w.Beat(t.Context(), job.Process{ID: "w", Role: "worker", RedisOK: ok}); err != nil {
			t.Fatalf("Beat: %v", err)
		}
		got, err := w.Processes(t.Context(), "")
		if err != nil || len(got) != 1 || got[0].RedisAt == nil {
			t.Fatalf("Processes = %+v, %v, want one with redis_at", got, err)
		}
		if i == 0 {
			first = *got[0].RedisAt
		} else if !got[0].RedisAt.Equal(first) {
			t.Errorf("redis_at moved from %s to %s without Redis", first, got[0].RedisAt)
		}
	}
}
