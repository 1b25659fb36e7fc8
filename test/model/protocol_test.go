package model

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
	"time"
)

// most is how many states a search may see; one that meets it has shown nothing.
const most = 3_000_000

// name says which faults a scenario has, and how many of everything.
func (c Scenario) name() string {
	var parts []string
	v := reflect.ValueOf(c.Faults)
	for i := range v.NumField() {
		switch n := v.Field(i).Int(); {
		case n == 1:
			parts = append(parts, v.Type().Field(i).Name)
		case n > 1:
			parts = append(parts, fmt.Sprint(n, " ", v.Type().Field(i).Name))
		}
	}
	if parts == nil {
		parts = []string{"no fault"}
	}
	x := explorer{cfg: c}
	about := []string{count(c.Jobs, "job"), count(x.relays(), "relay"), count(x.workers(), "worker")}
	if c.Name != "" {
		about = append(about, c.Name)
	}
	return strings.Join(parts, " and ") + " (" + strings.Join(about, ", ") + ")"
}

// wide reports whether a search goes through many states before it finds anything.
func (c Scenario) wide() bool { return c.Faults.Split+c.Faults.Tail+c.Faults.Stall > 0 }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}

// holding are the faults under which the protocol must hold: every kind alone with two
// of everything, two jobs with one relay, pairs of faults with one job and one relay.
// big ones are left out of race builds: nothing in a search is shared.
var holding = []struct {
	cfg Scenario
	big bool
}{
	{cfg: Scenario{Jobs: 1}},
	{cfg: Scenario{Jobs: 2}},
	{cfg: Scenario{Jobs: 1, Starts: true, Writes: true, Name: "long runs"}},
	{cfg: Scenario{Jobs: 1, Faults: Faults{KillRelay: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Faults: Faults{KillRelay: 2, LosePush: 1}}},
	{cfg: Scenario{Jobs: 1, Faults: Faults{Freeze: 1}}},
	{cfg: Scenario{Jobs: 1, Faults: Faults{Flush: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Faults: Faults{Failover: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Faults: Faults{Cancel: 1, Redrive: 1}}},
	{cfg: Scenario{Jobs: 1, Faults: Faults{Fail: 1}}},
	{cfg: Scenario{Jobs: 1, Begins: true, Faults: Faults{Release: 1, LoseTake: 1}}},
	{cfg: Scenario{Jobs: 1, Late: true, Faults: Faults{RedisJump: 1}}},
	{cfg: Scenario{Jobs: 1, Writes: true, Faults: Faults{Stall: 1, LoseWrite: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Direct: true, Faults: Faults{CutRedis: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Direct: true, Epochs: 3, Faults: Faults{Away: 1}}, big: true},

	{cfg: Scenario{Jobs: 1, Faults: Faults{Flush: 1, KillRelay: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Faults: Faults{Failover: 1, KillRelay: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Faults: Faults{Tail: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Workers: 1, Direct: true, Epochs: 3, Faults: Faults{Split: 1}}, big: true},

	{cfg: Scenario{Jobs: 2, Faults: Faults{KillRelay: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Faults: Faults{KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Relays: 1, Faults: Faults{KillRelay: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Relays: 1, Faults: Faults{Freeze: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Relays: 1, Faults: Faults{Flush: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Relays: 1, Faults: Faults{Failover: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Relays: 1, Faults: Faults{Cancel: 1, Redrive: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, LoseHold: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Relays: 1, Workers: 1, Direct: true, Faults: Faults{Away: 1, LoseDirect: 1}}, big: true},
	{cfg: Scenario{Jobs: 2, Relays: 1, Workers: 1, Begins: true, Faults: Faults{Release: 2, LoseTake: 1}}},

	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, Freeze: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 2}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, Cancel: 1, Redrive: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, LoseTake: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, CutPostgres: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Writes: true, Faults: Faults{Flush: 1, Stall: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Flush: 1, LoseHold: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Begins: true, Faults: Faults{Flush: 1, Release: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Failover: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Failover: 1, Freeze: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Split: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{Split: 1, Stall: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Split: 1, LoseHold: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Tail: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Tail: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Faults: Faults{Tail: 1, LoseTake: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Late: true, Faults: Faults{RedisJump: 1, KillWorker: 1}}},

	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{CutRedis: 1, LoseHold: 1, LoseDirect: 1, LoseWrite: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{CutRedis: 1, CutPostgres: 1, LoseHold: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{CutRedis: 1, Stall: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, PostgresJump: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Begins: true, Faults: Faults{CutRedis: 1, Release: 1, LoseHold: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{SlowRedis: 1, LoseHold: 1, CutPostgres: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{Away: 2, LoseHold: 1, LoseDirect: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, KillRelay: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, Flush: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, Failover: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{Away: 1, Stall: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, PostgresJump: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, LoseTake: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Workers: 1, Direct: true, Epochs: 4, Faults: Faults{Away: 1, Tail: 1}}, big: true},

	{cfg: Scenario{Jobs: 1, Direct: true, Writes: true, Faults: Faults{Adopt: 1}}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{Adopt: 2, Freeze: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Adopt: 1, Flush: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Adopt: 2, CutRedis: 1, KillWorker: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{Adopt: 1, Away: 1, LoseHold: 1}}, big: true},
	{cfg: Scenario{Jobs: 1, Relays: 1, Writes: true, Faults: Faults{Adopt: 2, Fail: 1, LoseWrite: 1}}},
	{cfg: Scenario{Jobs: 2, Relays: 1, Direct: true, Faults: Faults{Adopt: 1, KillWorker: 1}}, big: true},

	{cfg: Scenario{Jobs: 1, Relays: 1, Audit: true, Faults: Faults{KillWorker: 1}, Name: "audited"}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Audit: true, Begins: true, Faults: Faults{Release: 1, Freeze: 1}, Name: "audited"}},
	{cfg: Scenario{Jobs: 1, Workers: 1, Audit: true, Name: "audited"}},
	{cfg: Scenario{Jobs: 1, Relays: 1, Audit: true, Direct: true, Epochs: 3, Faults: Faults{Flush: 1, CutRedis: 1}, Name: "audited"}, big: true},
}

func TestProtocol_Holds(t *testing.T) {
	for _, c := range holding {
		if c.big && race {
			continue
		}
		t.Run(c.cfg.name(), func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			r := Run(c.cfg, everyRule, most)
			t.Logf("%s: %s states, %s steps, %s", c.cfg.name(), millions(r.States), millions(r.Steps), time.Since(start).Round(time.Millisecond))
			if r.Found != none || r.Limited {
				t.Errorf("Run(%s) = %s, limited %v, want none\n%s", c.cfg.name(), r.Found, r.Limited, list(r.Trace))
			}
		})
	}
}

// needed says, for each rule, under which faults it is missed and what then breaks.
var needed = []struct {
	rule Rule
	cfg  Scenario
	want violation
}{
	{fenceIsRandom, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Tail: 1}}, neverTold},
	{pushOnce, Scenario{Jobs: 1, Relays: 1, Faults: Faults{LosePush: 1}}, secondCopy},
	{pushDeadline, Scenario{Jobs: 1, Workers: 1}, secondCopy},
	{noteOutlivesRecord, Scenario{Jobs: 1, Relays: 1, Faults: Faults{LosePush: 1}}, secondCopy},
	{pushNamesEpoch, Scenario{Jobs: 1, Workers: 1, Faults: Faults{Flush: 1}}, secondCopy},
	{scriptsCheckLife, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Failover: 1}}, sameFence},
	{onlyPresentEpoch, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, LosePush: 1}}, secondCopy},
	{heldNotRecovered, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1}}, sameFence},
	{rebuildByDispatch, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Cancel: 1, Redrive: 1, KillRelay: 1}}, secondCopy},

	{windowThrownAway, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Failover: 1}}, sameFence},
	{timelineEndsEpoch, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Tail: 1}}, secondCopy},
	{aboveRedis, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, Tail: 1}}, neverTold},

	{expiredMoves, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Freeze: 1}}, takenFromPrompt},
	{expiredDeadline, Scenario{Jobs: 1, Relays: 1, Late: true, Faults: Faults{RedisJump: 1}}, takenFromPrompt},
	{contactBeforeReap, Scenario{Jobs: 1, Relays: 1, Faults: Faults{RedisJump: 1}}, takenFromPrompt},
	{steadyBeforeReap, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Split: 1, Stall: 1}}, takenFromPrompt},
	{loseNamesEpoch, Scenario{Jobs: 1, Workers: 1, Faults: Faults{Freeze: 1, Flush: 1}}, neverTold},
	{waitBeforeSettle, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1}}, takenFromPrompt},
	{steadyBeforeSettle, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Split: 1, Stall: 1}}, takenFromPrompt},
	{earlyNeedsAll, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, CutPostgres: 1}}, takenFromPrompt},
	{missingMoves, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Freeze: 1, Flush: 1}}, takenFromPrompt},
	{missingDoesntCount, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1}}, countedForNothing},
	{heldNotSettled, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, Flush: 1}}, takenFromPrompt},

	{takeToken, Scenario{Jobs: 1, Relays: 1, Faults: Faults{LoseTake: 1}}, countedForNothing},
	{tokenVerified, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, LoseTake: 1}}, neverTold},
	{takeAfterBeat, Scenario{Jobs: 1, Relays: 1, Faults: Faults{KillWorker: 1, Flush: 1}}, takenFromPrompt},
	{outcomeFenced, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Freeze: 1}}, staleAccepted},
	{postgresFirst, Scenario{Jobs: 1, Relays: 1, Writes: true, Faults: Faults{KillWorker: 1}}, stuck},
	{finalReplacesStart, Scenario{Jobs: 1, Relays: 1}, stuck},
	{releaseNamesEpoch, Scenario{Jobs: 1, Relays: 1, Begins: true, Faults: Faults{Release: 1, Flush: 1}}, neverTold},
	{releaseRemovesOwn, Scenario{Jobs: 1, Relays: 1, Begins: true, Faults: Faults{Release: 1, Freeze: 1}}, neverTold},
	{endAtLimit, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, CutPostgres: 1}}, takenFromPrompt},
	{announceAnew, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1}}, takenFromPrompt},
	{announceNotLost, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Freeze: 1, Flush: 1}}, takenFromPrompt},
	{verifyAfter, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Freeze: 1, Flush: 1}}, neverTold},
	{orderNamesAttempt, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Cancel: 1, Redrive: 1}}, stuck},

	{adoptLeasedOnly, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Adopt: 1, KillWorker: 1}}, takenFromPrompt},
	{adoptRenewsFirst, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Adopt: 1, Flush: 1, KillWorker: 1}}, twoPrompt},
	{ownNotWritten, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Adopt: 1, Freeze: 1}}, takenFromPrompt},
	{sharedVerified, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Adopt: 1, CutRedis: 1}}, neverTold},
	{heldOutlives, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Adopt: 1, CutRedis: 1}}, takenFromPrompt},

	{holds, Scenario{Jobs: 1, Relays: 1, Faults: Faults{CutRedis: 1}}, endedInReach},
	{holdsBehind, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Split: 1}}, takenFromPrompt},
	{holdSameID, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, LoseHold: 1}}, countedForNothing},
	{holdDoesntCount, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, LoseHold: 1}}, countedForNothing},
	{holdKeepsLease, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1, LoseHold: 1}}, takenFromPrompt},
	{writerWaits, Scenario{Jobs: 1, Relays: 1, Writes: true, Faults: Faults{CutRedis: 1, LoseHold: 1}}, countedForNothing},
	{writerNotHeld, Scenario{Jobs: 1, Relays: 1, Writes: true, Faults: Faults{CutRedis: 1}}, countedForNothing},
	{heldNotReleased, Scenario{Jobs: 1, Relays: 1, Begins: true, Direct: true, Faults: Faults{CutRedis: 1, Release: 1}}, neverTold},
	{goneIsOver, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, Freeze: 1}}, neverTold},
	{steadyBeforeBack, Scenario{Jobs: 1, Relays: 1, Writes: true, Direct: true, Faults: Faults{Away: 1, Stall: 1}}, takenFromPrompt},
	{clockBeforeBack, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, PostgresJump: 1}}, takenFromPrompt},
	{rowLock, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, Freeze: 1}}, takenFromPrompt},

	{directSameID, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{CutRedis: 1, LoseDirect: 1}}, countedForNothing},
	{awayNewEpoch, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1}}, neverTold},
	{awayWaits, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1}}, twoPrompt},
	{awayTimeline, Scenario{Jobs: 1, Relays: 1, Workers: 1, Direct: true, Epochs: 4, Faults: Faults{Away: 1, Tail: 1}}, stuck},
	{awaySteady, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, PostgresJump: 1}}, twoPrompt},
	{awayWhenLeft, Scenario{Jobs: 1, Relays: 1, Direct: true, Epochs: 4, Faults: Faults{Away: 1, Flush: 1}}, stuck},

	{auditPushedOnly, Scenario{Jobs: 1, Relays: 1, Audit: true}, auditFound},
	{auditReadsTwice, Scenario{Jobs: 1, Relays: 1, Audit: true}, auditFound},
}

func TestProtocol_NeedsEveryRule(t *testing.T) {
	for _, c := range needed {
		if race && (c.want == stuck || c.cfg.wide()) {
			continue
		}
		t.Run(string(c.rule), func(t *testing.T) {
			t.Parallel()
			r := Run(c.cfg, c.rule, most)
			t.Logf("%s: %s after %s states and %d steps", c.cfg.name(), r.Found, millions(r.States), len(r.Trace))
			t.Logf("\n%s", list(r.Trace))
			if r.Found != c.want {
				t.Errorf("Run(%s) without %q = %s, want %s", c.cfg.name(), c.rule, r.Found, c.want)
			}
		})
	}
}

// belts are rules that the search does not miss: others do their work within its
// bounds. docs/protocol.md says of each why it is kept.
var belts = []struct {
	rule Rule
	cfg  Scenario
}{
	{lostIsKept, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Tail: 1}}},
	{claimNeedsOpen, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1}}},
	{takeDropsKnown, Scenario{Jobs: 1, Relays: 1, Begins: true, Faults: Faults{Failover: 1, Release: 1}}},
	{beginChecksLease, Scenario{Jobs: 1, Relays: 1, Begins: true, Faults: Faults{Freeze: 1}}},
	{joinBeforeTake, Scenario{Jobs: 1, Relays: 1, Faults: Faults{Flush: 1}}},
	{awayItself, Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1}}},
}

func TestProtocol_Belts(t *testing.T) {
	for _, c := range belts {
		if race && c.cfg.wide() {
			continue
		}
		t.Run(string(c.rule), func(t *testing.T) {
			t.Parallel()
			r := Run(c.cfg, c.rule, most)
			t.Logf("%s: %s states", c.cfg.name(), millions(r.States))
			if r.Found != none {
				t.Errorf("Run(%s) without %q = %s, want none: it is needed\n%s", c.cfg.name(), c.rule, r.Found, list(r.Trace))
			}
		})
	}
}

// remaining is what the protocol does not exclude: two faults at once, of which one
// keeps a worker from hearing Postgres. docs/protocol.md tells of each. Where closes is
// true, the rule that ADR 7 refuses would close it, and everything else holds.
var remaining = []struct {
	cfg    Scenario
	want   violation
	closes bool
}{
	{Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Split: 1, CutPostgres: 1}}, takenFromPrompt, false},
	{Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{Away: 1, CutPostgres: 1}}, twoPrompt, true},
	{Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Away: 1, Freeze: 1}}, twoPrompt, true},
	{Scenario{Jobs: 1, Relays: 1, Direct: true, Faults: Faults{Split: 1, Freeze: 1}}, takenFromPrompt, true},
	{Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{Adopt: 1, CutRedis: 1, CutPostgres: 1}}, takenFromPrompt, false},
	{Scenario{Jobs: 1, Relays: 1, Direct: true, Writes: true, Faults: Faults{Adopt: 1, CutRedis: 1, Stall: 1}}, takenFromPrompt, false},
}

func TestProtocol_WhatRemains(t *testing.T) {
	for _, c := range remaining {
		if race && c.cfg.wide() {
			continue
		}
		t.Run(c.cfg.name(), func(t *testing.T) {
			t.Parallel()
			r := Run(c.cfg, everyRule, most)
			t.Logf("%s after %s states\n%s", r.Found, millions(r.States), list(r.Trace))
			if r.Found != c.want {
				t.Errorf("Run(%s) = %s, want %s, as docs/protocol.md says", c.cfg.name(), r.Found, c.want)
			}
			if !c.closes || race {
				return
			}
			c.cfg.Heard = true
			r = Run(c.cfg, everyRule, most)
			t.Logf("with the refused rule: %s states", millions(r.States))
			if r.Found != none || r.Limited {
				t.Errorf("Run(%s) with the refused rule = %s, limited %v, want none\n%s", c.cfg.name(), r.Found, r.Limited, list(r.Trace))
			}
		})
	}
}

// TestRules_AreAllInATable keeps a rule from being stated and not searched for.
func TestRules_AreAllInATable(t *testing.T) {
	seen := map[string]int{}
	for _, c := range needed {
		seen[string(c.rule)]++
	}
	for _, c := range belts {
		seen[string(c.rule)]++
	}
	file, err := parser.ParseFile(token.NewFileSet(), "rules.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Value != `""` {
			if text := strings.Trim(lit.Value, `"`); seen[text] != 1 {
				t.Errorf("rule %q is in %d rows of needed and belts, want 1", text, seen[text])
			}
		}
		return true
	})
}

func list(trace []string) string {
	var b strings.Builder
	for i, l := range trace {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, l)
	}
	return b.String()
}
