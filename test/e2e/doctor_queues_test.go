package e2e

import (
	"strings"
	"testing"
)

// Whoever is woken at night asks doctor first: it names the queue that waits for a
// person, and the jobs that died, and still ends with 0, for nothing is set up wrongly.
func TestDoctor_NamesWhatWaitsForAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	said := func() string {
		t.Helper()
		code, stdout, stderr := run(t, w.env("doctor"), program("rookery"), "doctor")
		if code != 0 || stderr != "" {
			t.Errorf("doctor = %d %s%s, want 0", code, stdout, stderr)
		}
		return stdout
	}
	w.relay()
	w.insert(3, `{}`)
	if got, want := said(), "warning: queue: "+queue+" has no worker, and 3 jobs are due\n  remedy: start one: rookery worker"; !strings.Contains(got, want) {
		t.Errorf("doctor = %q, want %q", got, want)
	}
	w.mustCLI("queues", "pause", queue)
	if got, want := said(), queue+" is paused, and 3 jobs are due\n  remedy: rookery queues resume "+queue; !strings.Contains(got, want) {
		t.Errorf("doctor of a paused queue = %q, want %q", got, want)
	}
	// Processes write a minute's figures when it is over; the test does not wait for it.
	w.exec(`UPDATE outbox.queues SET paused = false`)
	w.exec(`INSERT INTO outbox.stats (minute, queue_name, writer, dead) VALUES (date_trunc('minute', now()), $1, 1, 3)`, queue)
	if got := said(); strings.Contains(got, "dead:") {
		t.Errorf("doctor = %q, where no job is dead any more", got)
	}
	w.exec(`UPDATE outbox.jobs SET status = 'dead', finished_at = now(), last_error = E'no such\nmailbox' WHERE id = 2`)
	w.exec(`INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) SELECT id, queue_name, kind, 'discarded' FROM outbox.jobs WHERE status = 'dead'`)
	if got, want := said(), "of "+queue+": no such mailbox\n  remedy: rookery jobs list --status dead --queue "+queue; !strings.Contains(got, want) {
		t.Errorf("doctor with a dead job = %q, want %q", got, want)
	}
}

// A queue may be paused before its first job; whoever misspells one hears of it.
func TestQueues_PauseOfAnUnknownQueueAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	const asked = "no job of a queue called mial has been seen so far"
	for i, c := range []struct {
		args  []string
		asked bool
	}{
		{[]string{"queues", "pause", "mial"}, true}, {[]string{"queues", "resume", "mial"}, false}, {[]string{"queues", "window", "mial", "--size", "5"}, false},
	} {
		code, stdout, stderr := run(t, w.env("jobs"), append([]string{program("rookery")}, c.args...)...)
		if code != 0 || stdout != "" || strings.Contains(stderr, asked) != c.asked {
			t.Errorf("%d. rookery %v = %d %q %q, want 0 and a question: %t", i+1, c.args, code, stdout, stderr, c.asked)
		}
	}
}
