package model

// Scenario is what one search looks at.
type Scenario struct {
	Name            string
	Jobs            int // 1 or 2
	Faults          Faults
	Starts          bool // long runs are marked as running
	Begins          bool // taking and beginning are two steps: needed for release
	Late            bool // a relay may decide to reap and do it late
	Audit           bool // the background audit runs
	Heard           bool // a worker takes nothing when Postgres has not answered it for 13 s: refused, see ADR 7
	Epochs          int8 // how many may be begun; 0: 5
	Writes          bool // an outcome is finished, in the writer's hands, and judged: three steps instead of one
	Relays, Workers int  // 0: 2
	Direct          bool // workers may claim straight from Postgres
}

// Faults is how often each may still happen.
type Faults struct {
	KillRelay, KillWorker, Freeze             int8
	Flush, Failover, Split, Away, CutRedis    int8
	Stall, CutPostgres, Tail                  int8 // of Postgres
	LoseTake, LoseHold, LoseDirect, LoseWrite int8 // replies
	LosePush                                  int8
	RedisJump, PostgresJump                   int8
	Cancel, Redrive, Fail, Release, SlowRedis int8
	Adopt                                     int8 // a client comes to another worker
}

// edge is what kind of step one is.
type edge uint8

const (
	progress edge = iota
	urgent        // a prompt process does it before half a lease passes
	outside       // faults, healing and people: nothing may depend on it
)

// step is one step from a state.
type step struct {
	text string // names: {r} relay, {w} worker, {d} and {e} dispatches, {j} job
	who  who
	kind edge
	next State
}

type who struct{ r, w, d, e, j int }

// explorer makes the steps of one scenario with one rule left out.
type explorer struct {
	cfg     Scenario
	removed Rule
	out     []step
	bounded bool // a bound of this model, not the protocol, refused a step
}

func (x *explorer) on(r Rule) bool { return x.removed != r }

func (x *explorer) step(kind edge, n *State, text string, w who) {
	x.out = append(x.out, step{text: text, who: w, kind: kind, next: *n})
}

// steps returns every step from s.
func (x *explorer) steps(s *State) []step {
	x.out, x.bounded = x.out[:0], false
	for r := range x.relays() {
		x.relay(s, r)
		x.relayFaults(s, r)
	}
	for w := range x.workers() {
		x.worker(s, w)
		x.workerFaults(s, w)
	}
	x.operator(s)
	x.faults(s)
	x.tick(s)
	return x.out
}

// relay is everything that relay r may do next.
func (x *explorer) relay(s *State, r int) {
	x.learn(s, r)
	x.claim(s, r)
	x.push(s, r)
	x.record(s, r)
	x.recover(s, r)
	x.begin(s, r)
	x.open(s, r)
	x.expire(s, r)
	x.settle(s, r)
	x.findMissing(s, r)
	x.lose(s, r)
	x.drop(s, r)
	x.sweep(s, r)
	x.takeBack(s, r)
	x.beginAway(s, r)
	x.settleAway(s, r)
	x.carryCancels(s, r)
	x.audit(s, r)
}

// worker is everything that worker w may do next; a frozen one does nothing.
func (x *explorer) worker(s *State, w int) {
	if s.Workers[w].Frozen {
		return
	}
	x.tell(s, w)
	x.take(s, w)
	x.takeAgain(s, w)
	x.start(s, w)
	x.finish(s, w)
	x.write(s, w)
	x.end(s, w)
	x.beat(s, w)
	x.announce(s, w)
	x.verify(s, w)
	x.hold(s, w)
	x.renew(s, w)
	x.direct(s, w)
	x.release(s, w)
	x.seek(s, w)
	x.confirm(s, w)
	x.check(s, w)
	x.silent(s, w)
}

// freeID returns a dispatch id that nothing refers to; 0: all are in use.
func (x *explorer) freeID(s *State) int8 {
	if !x.on(fenceIsRandom) {
		for d := int8(1); d <= ids; d++ {
			if s.Past.Reissue[d] && s.PG.Rows[d].Jobs == 0 {
				return d
			}
		}
	}
	used := references(s)
	for d := int8(1); d <= ids; d++ {
		if !used[d] {
			return d
		}
	}
	return 0
}

func (x *explorer) relays() int {
	if x.cfg.Relays == 0 {
		return relays
	}
	return x.cfg.Relays
}

func (x *explorer) workers() int {
	if x.cfg.Workers == 0 {
		return workers
	}
	return x.cfg.Workers
}

func (x *explorer) epochs() int8 {
	if x.cfg.Epochs == 0 {
		return 5
	}
	return x.cfg.Epochs
}

// accepts reports whether a script that names epoch is carried out by rd.
func (x *explorer) accepts(rd *Redis, epoch int8) bool {
	return rd != nil && rd.Epoch != 0 && rd.Epoch == epoch && (rd.Ours || !x.on(scriptsCheckLife))
}
