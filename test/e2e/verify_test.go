package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// jobRow is what the verifier needs of a row in outbox.jobs.
type jobRow struct {
	ID       int64
	Status   string
	Dispatch int64 // the current, or last, dispatch_id
	Attempts int32
	Failures int16
	Losses   int16
	Worker   string
	Error    string
}

// facts are what happened, seen from outside.
type facts struct {
	committed  []int64 // producers were told that they are
	rolledBack []int64
	jobs       map[int64]jobRow
	explained  map[[2]int64]string // outbox.attempts: job and attempt_count to outcome
	runs       []attemptRun        // the history
	left       map[string]int64    // what must be 0 at rest
}

// allowance is what a test's faults may bring about.
type allowance struct {
	status map[int64]string // of single jobs; all others must be completed
	reruns int              // runs beyond the first, over all jobs
	// excused are the processes that were killed, frozen or too slow; when not nil,
	// only a run of theirs may be followed by another of the same job.
	excused map[int]bool
}

// check returns what is wrong with f, and how many runs there were beyond the first
// of a job. It is pure.
func check(f facts, a allowance) (problems []string, reruns int) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, id := range f.committed {
		if _, ok := f.jobs[id]; !ok {
			wrong("job %d was committed and is not in the table", id)
		}
	}
	// An attempt is known by its count: held in Postgres it gets another fence.
	seen, done, times := map[ref]bool{}, map[[2]int64]bool{}, map[int64]int{}
	for _, r := range f.runs {
		j, known := f.jobs[r.id]
		at := ref{r.id, r.dispatch}
		switch {
		case slices.Contains(f.rolledBack, r.id):
			wrong("job %d was rolled back and ran", r.id)
		case !known:
			wrong("job %d ran and was never committed", r.id)
		case seen[at]:
			wrong("job %d ran twice under dispatch %d", r.id, r.dispatch)
		case r.attempt != int64(j.Attempts) && f.explained[[2]int64{r.id, r.attempt}] == "":
			wrong("attempt %d of job %d ran, is not the last, and outbox.attempts does not say why", r.attempt, r.id)
		case r.attempt != int64(j.Attempts) && a.excused != nil && !a.excused[r.pid]:
			wrong("attempt %d of job %d ran in a healthy process, and another one after it", r.attempt, r.id)
		}
		seen[at] = true
		done[[2]int64{r.id, r.attempt}] = done[[2]int64{r.id, r.attempt}] || r.how == "ok"
		times[r.id]++
	}
	for _, id := range slices.Sorted(maps.Keys(f.jobs)) {
		j, want := f.jobs[id], "completed"
		if s, ok := a.status[id]; ok {
			want = s
		}
		if j.Status != want {
			wrong("job %d is %s, want %s", id, j.Status, want)
		}
		if j.Status == "completed" && !done[[2]int64{id, int64(j.Attempts)}] {
			wrong("job %d is completed, and no run of its last attempt ended well", id)
		}
		reruns += max(0, times[id]-1)
	}
	if reruns > a.reruns {
		wrong("%d runs beyond the first, want at most %d", reruns, a.reruns)
	}
	for _, what := range slices.Sorted(maps.Keys(f.left)) {
		if n := f.left[what]; n != 0 {
			wrong("%d left in %s", n, what)
		}
	}
	return problems, reruns
}

// sound is a history without a fault: two jobs, the second of which lost a worker.
func sound() facts {
	return facts{
		committed: []int64{1, 2}, rolledBack: []int64{3},
		jobs: map[int64]jobRow{
			1: {ID: 1, Status: "completed", Dispatch: 10, Attempts: 1},
			2: {ID: 2, Status: "completed", Dispatch: 21, Attempts: 2, Losses: 1},
		},
		explained: map[[2]int64]string{{2, 1}: "lose"},
		runs: []attemptRun{
			{id: 1, attempt: 1, dispatch: 10, start: 1, end: 2, how: "ok"},
			{id: 2, attempt: 1, dispatch: 10, start: 1},
			{id: 2, attempt: 2, dispatch: 21, start: 5, end: 6, how: "ok"},
		},
		left: map[string]int64{"ready": 0},
	}
}

func TestCheck_FindsPlantedDefects(t *testing.T) {
	again := func(id, attempt, dispatch int64) attemptRun {
		return attemptRun{id: id, attempt: attempt, dispatch: dispatch, start: 9, end: 9, how: "ok"}
	}
	for _, c := range []struct {
		name  string
		plant func(f *facts, a *allowance)
		want  string // "" finds nothing
	}{
		{"nothing", func(*facts, *allowance) {}, ""},
		{"lost row", func(f *facts, _ *allowance) { f.committed = append(f.committed, 4) }, "job 4 was committed and is not in the table"},
		{"phantom", func(f *facts, _ *allowance) { f.runs = append(f.runs, again(4, 1, 11)) }, "job 4 ran and was never committed"},
		{"rolled back", func(f *facts, _ *allowance) { f.runs = append(f.runs, again(3, 1, 11)) }, "job 3 was rolled back and ran"},
		{"two on one fence", func(f *facts, a *allowance) { f.runs = append(f.runs, again(1, 1, 10)); a.reruns++ }, "job 1 ran twice under dispatch 10"},
		{"unexplained run", func(f *facts, a *allowance) { f.runs = append(f.runs, again(1, 2, 12)); a.reruns++ }, "attempt 2 of job 1 ran, is not the last, and outbox.attempts does not say why"},
		{"healthy process", func(_ *facts, a *allowance) { a.excused = map[int]bool{} }, "attempt 1 of job 2 ran in a healthy process, and another one after it"},
		{"excused process", func(_ *facts, a *allowance) { a.excused = map[int]bool{0: true} }, ""},
		{"too many runs", func(_ *facts, a *allowance) { a.reruns = 0 }, "1 runs beyond the first, want at most 0"},
		{"stuck", func(f *facts, _ *allowance) { f.jobs[1] = jobRow{ID: 1, Status: "running", Dispatch: 10, Attempts: 1} }, "job 1 is running, want completed"},
		{"wanted otherwise", func(_ *facts, a *allowance) { a.status = map[int64]string{1: "dead"} }, "job 1 is completed, want dead"},
		{"completed by nobody", func(f *facts, _ *allowance) { f.runs[0].how = "failed" }, "job 1 is completed, and no run of its last attempt ended well"},
		{"completed unrun", func(f *facts, _ *allowance) { f.runs = f.runs[1:] }, "job 1 is completed, and no run of its last attempt ended well"},
		{"left behind", func(f *facts, _ *allowance) { f.left[":leases"] = 2 }, "2 left in :leases"},
	} {
		f, a := sound(), allowance{reruns: 1}
		c.plant(&f, &a)
		problems, _ := check(f, a)
		if got := strings.Join(problems, "; "); got != c.want {
			t.Errorf("check with %s = %q, want %q", c.name, got, c.want)
		}
	}
}
