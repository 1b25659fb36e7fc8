package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/bench/lab"
)

// Count is how much of something a part of a job's way has taken, per job.
type Count struct {
	Part   string // insert, copy, relay, worker, listened, listener
	What   string
	PerJob float64
}

// reading is what has been counted since the servers were started, or, of a part,
// between two such readings.
type reading struct {
	lab.Usage
	statements float64 // sent by clients
	inside     float64 // run inside functions: triggers, above all
	clock      float64 // statements that the clock starts
	surveys    float64 // a relay's looks for queues with due jobs
	idle       float64 // of those, when there was nothing left
	claims     float64 // sent, whether they found any
	batches    float64 // rows of the ledger: claims that did
	at         time.Time
	seconds    float64            // between two readings
	secondly   map[string]float64 // see everySecond
	looks      float64            // commits of our own
	readings   float64
	kept       float64 // bytes of outbox.events on the disk
	rowsRead   float64 // of Rookery's tables
}

// ours begins the statements by which the gate looks at things.
const ours = "/* bench gate */ "

// byClock reports whether a relay or a worker sends a query (of queries/*.sql) every
// so often, whatever there is to do: a slow machine has more of them. All others count,
// so one that is new must find its place here or below a ceiling.
func byClock(query string) bool {
	switch nameOf(query) {
	case "BeatProcess", "CancelQueues", "Horizon", "OpenGate", "PruneJobs", "RetireSilentProcesses", "SweepDispatches", "TakeOverUnpushed", "UnrecordedByOthers", "WalkJobs":
		return true
	}
	return false
}

// everySecond are statements that are sent once a second for as long as a relay lives,
// and at other times too: what a part's length accounts for is the clock's, the others
// count.
var everySecond = []string{"ListQueues", "Ping"}

// everyRound is how many Redis commands a relay sends once a second for five queues, those
// inside scripts too: a run in which it lived a second longer had so many more.
const everyRound = 54

// nameOf returns a query's name in queries/*.sql.
func nameOf(query string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(query, "-- name: "), " ")
	return name
}

// byUs reports whether a statement is the gate's or the lab's.
func byUs(query string) bool {
	return strings.HasPrefix(query, ours) || strings.Contains(query, "FROM pg_stat_")
}

// read reads all counters; the actors must have ended.
func (d *drain) read(ctx context.Context) (r reading, err error) {
	if r.Usage, err = d.Counters(ctx); err != nil {
		return r, err
	}
	r.Mallocs, r.MallocBytes = d.Allocations()
	r.looks, r.readings, r.at, r.secondly = d.looks, 1, time.Now(), map[string]float64{}
	r.idle = d.idle
	rows, err := d.Pool.Query(ctx, ours+`SELECT query, toplevel, calls::float8 FROM pg_stat_statements`)
	if err != nil {
		return r, fmt.Errorf("count statements: %w", err)
	}
	var (
		query string
		top   bool
		calls float64
	)
	_, err = pgx.ForEachRow(rows, []any{&query, &top, &calls}, func() error {
		r.add(query, top, calls)
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("count statements: %w", err)
	}
	err = d.Pool.QueryRow(ctx, ours+`
		SELECT pg_total_relation_size('outbox.events'), (sum(t.seq_tup_read) + sum(t.idx_tup_fetch))::float8,
			sum(t.n_tup_ins) FILTER (WHERE t.relname = 'dispatches')::float8
		FROM pg_stat_user_tables AS t WHERE t.schemaname = 'outbox'`).Scan(&r.kept, &r.rowsRead, &r.batches)
	if err != nil {
		return r, fmt.Errorf("weigh events: %w", err)
	}
	return r, nil
}

// add counts calls of a statement.
func (r *reading) add(query string, top bool, calls float64) {
	name := nameOf(query)
	switch {
	case byUs(query):
	case !top:
		r.inside += calls
	case byClock(query):
		r.clock += calls
	case name == "Survey":
		r.surveys += calls
	case name == "ClaimReady":
		r.claims += calls
	case slices.Contains(everySecond, name):
		r.secondly[name] += calls
	default:
		r.statements += calls
	}
}

// since returns what was counted after before.
func (r reading) since(before reading) reading {
	mallocs, bytes := r.Mallocs-before.Mallocs, r.MallocBytes-before.MallocBytes
	r.Usage = r.Minus(before.Usage)
	r.Mallocs, r.MallocBytes = mallocs, bytes
	r.statements -= before.statements
	r.inside -= before.inside
	r.clock -= before.clock
	r.surveys -= before.surveys
	r.idle -= before.idle
	r.claims -= before.claims
	r.batches -= before.batches
	r.seconds = r.at.Sub(before.at).Seconds()
	for name, calls := range r.secondly {
		calls -= before.secondly[name]
		r.clock += min(calls, r.seconds)
		r.statements += max(calls-r.seconds, 0)
	}
	r.looks -= before.looks
	r.kept -= before.kept
	r.rowsRead -= before.rowsRead
	return r
}

// pageSize is the most that an image of a page takes in the WAL.
const pageSize = 8192

// counts returns what the gate judges. Flushes are not in it: how many commits share
// one is a matter of timing. So is how often a relay looks around while its claims are
// under way, and after them, and how many of its claims find what another has just taken:
// these are judged apart.
func (r reading) counts(part string, jobs float64) []Count {
	per := func(what string, n float64) Count { return Count{Part: part, What: what, PerJob: n / jobs} }
	timed, vain := r.clock, max(r.claims-r.batches, 0)                                 // what the clock starts is a transaction each, as these are
	statements, redisCalls := r.statements+r.claims+r.surveys, r.RedisCalls-r.readings // each reading is one
	if part == "relay" {
		redisCalls -= everyRound * r.seconds
		timed += r.surveys + vain
		statements -= r.surveys + vain
	}
	all := []Count{
		per("statements", statements),
		per("statements in functions", r.inside),
		per("commits", r.Commits-r.looks-timed),
		per("WAL bytes", r.WALBytes-pageSize*r.FullPages),
		per("row versions", r.Inserted+r.Updated),
	}
	if part == "listener" { // its allocations are not counted: it is this process
		return append(all, per("rows read", r.rowsRead))
	}
	all = append(all, per("mallocs", r.Mallocs), per("malloc bytes", r.MallocBytes))
	if part == "insert" || part == "copy" {
		return all
	}
	all = append(all,
		per("rows deleted", r.Deleted),
		per("updates not HOT", r.Updated-r.HOT),
		per("Redis commands", redisCalls),
	)
	if part == "relay" {
		all = append(all, per("surveys", r.surveys-r.idle), per("claims in vain", vain))
	}
	if part == "listened" {
		all = append(all, per("bytes kept", r.kept))
	}
	return all
}
