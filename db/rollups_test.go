package db_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// book is what has been written, as the tests know it: the minutes by their key.
type book struct {
	*world
	minutes map[string]job.Stat
}

func newBook(w *world) *book { return &book{w, map[string]job.Stat{}} }

// put writes rows of one writer, and remembers them.
func (b *book) put(writer int64, rows ...job.Stat) {
	b.Helper()
	b.putStats(writer, rows...)
	for _, r := range rows {
		b.minutes[fmt.Sprint(r.Minute.Unix(), r.QueueName, writer)] = r
	}
}

func (b *book) rollUp() {
	b.Helper()
	if err := b.RollUp(b.Context()); err != nil {
		b.Fatalf("RollUp: %v", err)
	}
}

// want adds up the minutes of r.
func (b *book) want(r job.StatRange) []job.StatPoint {
	sums := map[time.Time]*job.Stat{}
	for _, m := range b.minutes {
		if m.Minute.Before(r.From) || !m.Minute.Before(r.To) || r.QueueName != "" && r.QueueName != m.QueueName {
			continue
		}
		at := r.From.Add(m.Minute.Sub(r.From) / r.Step * r.Step)
		sum := sums[at]
		if sum == nil {
			sum = &job.Stat{Minute: at}
			sums[at] = sum
		}
		add(sum, m)
	}
	out := []job.StatPoint{}
	for _, s := range sums {
		out = append(out, job.StatPoint{
			At: s.Minute, Dispatched: s.Dispatched, Completed: s.Completed, Failed: s.Failed, Dead: s.Dead, Cancelled: s.Cancelled, Snoozed: s.Snoozed, Lost: s.Lost,
			Run: times(s.Ran, s.RunTimes), Wait: times(s.Waited, s.WaitTimes),
		})
	}
	slices.SortFunc(out, func(x, y job.StatPoint) int { return x.At.Compare(y.At) })
	return out
}

func add(sum *job.Stat, m job.Stat) {
	sum.Dispatched, sum.Completed, sum.Failed, sum.Dead = sum.Dispatched+m.Dispatched, sum.Completed+m.Completed, sum.Failed+m.Failed, sum.Dead+m.Dead
	sum.Cancelled, sum.Snoozed, sum.Lost = sum.Cancelled+m.Cancelled, sum.Snoozed+m.Snoozed, sum.Lost+m.Lost
	sum.Ran, sum.Waited = sum.Ran+m.Ran, sum.Waited+m.Waited
	for i := range sum.RunTimes {
		sum.RunTimes[i] += m.RunTimes[i]
		sum.WaitTimes[i] += m.WaitTimes[i]
	}
}

func times(sum time.Duration, h job.Histogram) job.Times {
	return job.Times{Count: h.Count(), Seconds: float64(sum.Microseconds()) / 1e6, P50: h.Quantile(0.5).Seconds(), P95: h.Quantile(0.95).Seconds()}
}

// randomStat is a minute of one queue, its durations from a microsecond to hours.
func randomStat(r *rand.Rand, minute time.Time, queue string) job.Stat {
	s := job.Stat{
		Minute: minute, QueueName: queue, Dispatched: r.Int64N(9), Lost: r.Int64N(2), Completed: r.Int64N(9), Failed: r.Int64N(3),
		Dead: r.Int64N(2), Cancelled: r.Int64N(2), Snoozed: r.Int64N(2),
		Ran: time.Duration(r.Int64N(1e6)) * time.Microsecond, Waited: time.Duration(r.Int64N(1e9)) * time.Microsecond,
	}
	for range r.IntN(5) {
		s.RunTimes.Add(time.Duration(1) << (10 + r.IntN(33)))
		s.WaitTimes.Add(time.Duration(1) << (10 + r.IntN(33)))
	}
	return s
}

// check compares charts of many lengths and steps with the sums of the minutes.
func (b *book) check(when string, r *rand.Rand, from, to time.Time) {
	b.Helper()
	steps := []time.Duration{time.Minute, 5 * time.Minute, 7 * time.Minute, 15 * time.Minute, time.Hour, 90 * time.Minute, 2 * time.Hour, 24 * time.Hour}
	span := int(to.Sub(from) / time.Minute)
	for range 60 {
		step := steps[r.IntN(len(steps))]
		begin := from.Add(time.Duration(r.IntN(span)) * time.Minute)
		if r.IntN(2) == 0 {
			begin = begin.Truncate(step)
		}
		end := begin.Add(min(time.Duration(1+r.IntN(span))*time.Minute, job.StatPoints*step))
		c := job.StatRange{QueueName: []string{"", "a", "b", "nowhere"}[r.IntN(4)], From: begin, To: end, Step: step}
		if diff := cmp.Diff(b.want(c), b.stats(c)); diff != "" {
			b.Fatalf("%s, %+v (-minutes +chart):\n%s", when, c, diff)
		}
	}
}

// Whatever has been added up, and whenever, a chart shows what the minutes say: sums, and
// quantiles to the last digit.
func TestRollUp_ChartsShowWhatTheMinutesSay(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	b := newBook(newWorld(t))
	to := time.Now().Truncate(time.Minute).UTC()
	from := to.Add(-30 * time.Hour)
	some := func(writer int64, n int) {
		var rows []job.Stat
		taken := map[string]bool{}
		for range n {
			minute, name := from.Add(time.Duration(r.IntN(30*60))*time.Minute), []string{"a", "b", "c"}[r.IntN(3)]
			if key := fmt.Sprint(minute.Unix(), name); !taken[key] {
				taken[key] = true
				rows = append(rows, randomStat(r, minute, name))
			}
		}
		b.put(writer, rows...)
	}
	for writer := range int64(3) {
		some(writer+1, 2000)
	}
	b.check("before any rollup", r, from, to)
	b.rollUp()
	if hours, fives := get[int](b.world, "SELECT count(DISTINCT at) FROM outbox.rollups WHERE minutes = 60"), get[int](b.world, "SELECT count(DISTINCT at) FROM outbox.rollups WHERE minutes = 5"); hours < 28 || fives < 300 {
		t.Fatalf("%d hours and %d times five minutes are rolled up, want 28 to 30 and some 350", hours, fives)
	}
	b.check("rolled up", r, from, to)
	some(2, 50) // some of them are rows that are there: replaced
	some(4, 5)  // a process that could not write for a day
	b.check("with minutes written since", r, from, to)
	b.rollUp()
	b.check("rolled up again", r, from, to)
	if n := get[int](b.world, "SELECT count(*) FROM outbox.rollups_due WHERE at < now() - interval '63 minutes'"); n != 0 {
		t.Errorf("%d rollups are still due", n)
	}
}

// A chart of whole hours does not read their minutes, nor one of five minutes.
func TestStats_ReadsRollupsInsteadOfMinutes(t *testing.T) {
	t.Parallel()
	b := newBook(newWorld(t))
	from := time.Now().Add(-5 * time.Hour).Truncate(time.Hour).UTC()
	for minute := range 120 {
		b.put(1, job.Stat{Minute: from.Add(time.Duration(minute) * time.Minute), QueueName: "a", Completed: 1})
	}
	b.rollUp()
	b.exec("DELETE FROM outbox.stats")
	hours := job.StatRange{From: from, To: from.Add(3 * time.Hour), Step: time.Hour}
	fives := job.StatRange{From: from.Add(10 * time.Minute), To: from.Add(2 * time.Hour), Step: 10 * time.Minute}
	odd := job.StatRange{From: from.Add(time.Minute), To: from.Add(2 * time.Hour), Step: 3 * time.Minute}
	for _, c := range []job.StatRange{hours, fives} {
		if diff := cmp.Diff(b.want(c), b.stats(c)); diff != "" {
			t.Errorf("%+v, without minutes (-want +got):\n%s", c, diff)
		}
	}
	if got := b.stats(odd); len(got) != 0 {
		t.Errorf("steps of three minutes are read from rollups: %+v", got)
	}
}

// What is being written while a rollup is made is not in it, and makes it due again.
func TestRollUp_BesideAWriter(t *testing.T) {
	t.Parallel()
	b := newBook(newWorld(t))
	from := time.Now().Add(-5 * time.Hour).Truncate(time.Hour).UTC()
	chart := job.StatRange{From: from, To: from.Add(time.Hour), Step: time.Hour}
	completed := func() int64 { return b.stats(chart)[0].Completed }
	b.put(1, job.Stat{Minute: from, QueueName: "a", Completed: 1})

	tx := b.begun()
	b.in(tx, "INSERT INTO outbox.stats (minute, queue_name, writer, completed) VALUES ($1, 'a', 2, 10)", from.Add(time.Minute))
	b.rollUp()
	if got := completed(); got != 1 {
		t.Errorf("completed = %d while another's is not committed, want 1", got)
	}
	if err := tx.Commit(b.Context()); err != nil {
		t.Fatal(err)
	}
	if got := completed(); got != 11 {
		t.Errorf("completed = %d once it is committed, want 11", got)
	}
	b.rollUp()
	b.exec("DELETE FROM outbox.stats")
	if got := completed(); got != 11 {
		t.Errorf("completed = %d when rolled up again, want 11", got)
	}
}

// Processes of the last version write minutes too, and know nothing of rollups.
func TestRollUp_OfMinutesThatOthersWrite(t *testing.T) {
	t.Parallel()
	b := newBook(newWorld(t))
	from := time.Now().Add(-5 * time.Hour).Truncate(time.Hour).UTC()
	due := func() int { return get[int](b.world, "SELECT count(*) FROM outbox.rollups_due") }
	b.put(1, job.Stat{Minute: from, QueueName: "a", Completed: 1}, job.Stat{Minute: from.Add(time.Minute), QueueName: "b", Completed: 1})
	if n := due(); n != 2 {
		t.Errorf("%d rollups are due after PutStats, want the five minutes and the hour, once", n)
	}
	b.rollUp()
	for _, sql := range []string{
		"INSERT INTO outbox.stats (minute, queue_name, writer, completed) VALUES ($1, 'a', 2, 1)",
		"UPDATE outbox.stats SET completed = completed + 1 WHERE minute = $1 AND writer = 2",
		"INSERT INTO outbox.stats (minute, queue_name, writer, completed) VALUES ($1, 'a', 2, 3) ON CONFLICT (minute, queue_name, writer) DO UPDATE SET completed = 3",
	} {
		b.exec(sql, from)
		want := get[int64](b.world, "SELECT sum(completed)::bigint FROM outbox.stats")
		if got := b.stats(job.StatRange{From: from, To: from.Add(time.Hour), Step: time.Hour}); due() < 2 || got[0].Completed != want {
			t.Errorf("after %q %d rollups are due, and a chart shows %d, want 2 and %d", sql, due(), got[0].Completed, want)
		}
		b.rollUp()
	}
}

func TestRollUp_OneAtATime(t *testing.T) {
	t.Parallel()
	b := newBook(newWorld(t))
	b.put(1, job.Stat{Minute: time.Now().Add(-5 * time.Hour).Truncate(time.Minute), QueueName: "a", Completed: 1})
	made := func() int { return get[int](b.world, "SELECT count(*) FROM outbox.rollups") }
	tx := b.begun()
	b.in(tx, "SELECT pg_advisory_xact_lock(1380928331, 5)") // another relay is at it
	if b.rollUp(); made() != 0 {
		t.Errorf("%d rollups made beside another relay", made())
	}
	if err := tx.Rollback(b.Context()); err != nil {
		t.Fatal(err)
	}
	if b.rollUp(); made() != 2 {
		t.Errorf("%d rollups once it is gone, want one of five minutes and one of the hour", made())
	}
}

// After a stop of days there is more than one call does; what is not over yet waits.
func TestRollUp_CatchesUp(t *testing.T) {
	t.Parallel()
	b := newBook(newWorld(t))
	now := time.Now().Truncate(time.Minute).UTC()
	var rows []job.Stat
	for hour := range 7 * 24 {
		rows = append(rows, job.Stat{Minute: now.Add(-time.Duration(hour) * time.Hour), QueueName: "a", Completed: 1})
	}
	b.put(1, rows...)
	b.rollUp()
	if n := get[int](b.world, "SELECT count(*) FROM outbox.rollups WHERE minutes = 60"); n != 60 {
		t.Errorf("%d hours in the first call, want 60", n)
	}
	for range 3 {
		b.rollUp()
	}
	// The present hour, and the last one while it is not over for two minutes.
	if n := get[int](b.world, "SELECT count(*) FROM outbox.rollups WHERE minutes = 60"); n != 7*24-1 && n != 7*24-2 {
		t.Errorf("%d hours are rolled up, want all but the one or two that are not over", n)
	}
	if n := get[int](b.world, "SELECT count(*) FROM outbox.rollups_due WHERE minutes = 60"); n != 1 && n != 2 {
		t.Errorf("%d hours are due, want the one or two that are not over", n)
	}
}

func TestPruneStats_RollupsGoWithTheirMinutes(t *testing.T) {
	t.Parallel()
	b := newBook(newWorld(t))
	now := time.Now().UTC()
	for name, at := range map[string]time.Time{"old": now.Add(-job.StatKept - 2*time.Hour), "young": now.Add(-job.StatKept + 2*time.Hour)} {
		b.put(1, job.Stat{Minute: at.Truncate(time.Minute), QueueName: name, Completed: 1})
	}
	b.rollUp()
	b.put(2, job.Stat{Minute: now.Add(-job.StatKept - 2*time.Hour).Truncate(time.Minute), QueueName: "old", Completed: 1}, job.Stat{Minute: now.Add(3 * time.Hour), QueueName: "mad", Completed: 1})
	if err := b.PruneStats(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get[string](b.world, "SELECT string_agg(queue_name || minutes, ' ' ORDER BY minutes) FROM outbox.rollups"); got != "young5 young60" {
		t.Errorf("rollups has %q, want young5 young60", got)
	}
	if n := get[int](b.world, "SELECT count(*) FROM outbox.rollups_due"); n != 0 {
		t.Errorf("%d rollups are due of minutes that are gone, or to come", n)
	}
}
