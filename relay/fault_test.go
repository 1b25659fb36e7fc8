package relay_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/relay"
)

// again is how many jobs have been handed out a second time, their first attempt
// not counted as lost.
const again = `SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched' AND attempt_count = 2 AND lost_count = 0`

func TestFlush_WaitingJobsAreHandedOutAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 2 {
		h.start(t, wiring{})
	}
	h.insert(t, "q", 1200)
	h.await(t, 1200, "dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	h.flush(t)
	h.await(t, 1200, "handed out again", again)
	h.await(t, 0, "recorded again", unrecorded)
	h.onceEach(t, "q", 1200)
}

func TestFlush_RunningJobsAreAnnouncedAndGoOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: 5 * quick}})
	h.insert(t, "q", 30)
	jobs := h.take(t, "q", 30)
	w, _ := h.hold(t, "q", jobs[:10], patience)
	h.await(t, 0, "recorded", unrecorded)
	h.flush(t)
	h.await(t, 20, "what nobody announced handed out again", again)
	gone, _, epoch := w.seen()
	if len(gone) != 0 || epoch != 2 {
		t.Errorf("the worker lost %d attempts, and is in epoch %d, want 0 and 2", len(gone), epoch)
	}
	h.complete(t, jobs[:10])
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE lost_count > 0 OR (status = 'completed' AND attempt_count <> 1)`); n != 0 {
		t.Errorf("%d jobs lost, or run twice", n)
	}
}

// Every attempt that was taken and is silent is settled after one lease, and the
// flush eats no retry and counts as no loss, however often it comes.
func TestFlush_AgainAndAgainKillsNoJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 10)
	for n := range 5 {
		h.await(t, 10, "handed out", dispatched+` AND attempt_count = $1`, n+1)
		h.await(t, 0, "recorded", unrecorded)
		h.takeFor(t, "q", 5, time.Minute)
		h.flush(t)
	}
	h.await(t, 10, "handed out at last", dispatched+` AND attempt_count = 6 AND lost_count = 0`)
}

func TestRedisRestart_LosesNothing(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"without AOF": nil, "with AOF": {"--appendonly", "yes", "--appendfsync", "always"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, args...)
			h.start(t, wiring{Options: relay.Options{Lease: quick}})
			h.insert(t, "q", 600)
			h.await(t, 600, "dispatched", dispatched)
			if err := h.server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.insert(t, "q", 100)
			h.await(t, 700, "all handed out in another life", dispatched+` AND dispatch_id IN (SELECT id FROM outbox.dispatches WHERE epoch > 1 AND seq IS NOT NULL)`)
			h.onceEach(t, "q", 700)
			if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE lost_count > 0`); n != 0 {
				t.Errorf("%d jobs count as lost", n)
			}
		})
	}
}

func TestPostgresRestart_NothingLostNothingTwice(t *testing.T) {
	t.Parallel()
	server := devtest.PostgresServer(t, nil)
	url := server.URL("postgres")
	devtest.Migrate(t, url)
	h := houseOn(t, url, devtest.RedisServer(t))
	for range 2 {
		h.start(t, wiring{})
	}
	h.insert(t, "q", 6000)
	devtest.Until(t, patience, "dispatching under way", func() (bool, error) { return h.count(t, dispatched) > 500, nil })
	if err := server.Restart(t.Context(), "immediate"); err != nil {
		t.Fatal(err)
	}
	h.pool.Reset()
	h.await(t, 6000, "all dispatched", dispatched)
	h.await(t, 0, "all recorded", unrecorded)
	h.onceEach(t, "q", 6000)
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE attempt_count <> 1`); n != 0 {
		t.Errorf("%d jobs were handed out more than once", n)
	}
}

// Postgres fails over to a standby that never had the present epoch: its row shows
// an older one, of the old timeline. The relay must not take that for a read that
// came late, and the next epoch must be above the one that Redis holds.
func TestPostgresFailover_BehindTheEpochBeginsOneAboveRedis(t *testing.T) {
	t.Parallel()
	server := devtest.PostgresServer(t, nil)
	url := server.URL("postgres")
	devtest.Migrate(t, url)
	h := houseOn(t, url, devtest.RedisServer(t))
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 1)
	h.await(t, 1, "dispatched", dispatched)
	h.flush(t)
	h.await(t, 1, "handed out in epoch 2", again)
	var data string
	if err := h.pool.QueryRow(t.Context(), `SHOW data_directory`).Scan(&data); err != nil {
		t.Fatal(err)
	}
	h.exec(t, `ALTER SYSTEM SET restore_command = 'false'`)
	h.exec(t, `UPDATE outbox.queues SET epoch = 1 WHERE name = 'q'`)
	// Recovery from an archive ends on a new timeline, as a promotion does.
	if err := os.WriteFile(filepath.Join(data, "recovery.signal"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(data, "recovery.signal"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context(), "fast"); err != nil {
		t.Fatal(err)
	}
	h.pool.Reset()
	h.await(t, 3, "an epoch above what Redis held", `SELECT epoch FROM outbox.queues WHERE name = 'q'`)
	h.insert(t, "q", 1)
	h.await(t, 2, "both dispatched", dispatched)
	devtest.Until(t, patience, "both in the window", func() (bool, error) { return len(h.copies(t, "q")) == 2, nil })
	h.onceEach(t, "q", 2)
}

// A database made anew begins with epoch 1 on a Redis that holds an epoch 1 of the
// old one: what waits there are jobs that do not exist.
func TestEpoch_AnotherDatabasesWindowIsThrownAway(t *testing.T) {
	t.Parallel()
	old := newHouse(t)
	_, stop := old.start(t, wiring{})
	old.insert(t, "q", 5)
	old.await(t, 5, "dispatched", dispatched)
	stop()
	h := houseOn(t, devtest.Postgres(t), old.server)
	h.start(t, wiring{})
	h.insert(t, "q", 2)
	h.await(t, 2, "dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	h.onceEach(t, "q", 2)
}
