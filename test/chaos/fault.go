package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// Fault is one line of the matrix. A run of it goes:
//
//	servers ─▶ Prepare ─▶ relays, workers, producers start ─▶ 2–5 s of load
//	        ─▶ Inject (it begins, holds and lifts the fault) ─▶ 2 s of load
//	        ─▶ producers stop, everything is healed ─▶ rest ─▶ verify
//
// Everything random comes from the run's own source, which seed, fault and run
// number determine. Only Name, Family, Says and Inject are required.
type Fault struct {
	Name   string // such as flushall-in-load: letters, digits, dashes
	Family string // relay, worker, pull, push, redis, cluster, postgres, clock, everything, marathon
	Says   string // one line for the table's legend: what happens, and what recovery is counted from
	Long   bool   // it takes long, or is a variant of another: -quick leaves it out
	Heavy  bool   // takes much CPU or memory: it runs alone

	// Options changes what plays, before the servers start. It gets what every run
	// has: two relays, two workers of 20 slots, two producers, 150 jobs a second.
	Options func(o *stage.Options, r *rand.Rand)
	// Prepare starts what else there must be (replicas, a pooler, a standby), and may
	// re-aim links, before any process starts. What it starts it gives to s.Own.
	Prepare func(ctx context.Context, s *stage.Stage) error
	// Inject plays the fault and returns when it is lifted. What it does to servers it
	// notes with s.Fault; processes and links note themselves. Processes that have
	// ended are started again after it, links are mended, frozen ones are thawed.
	Inject func(ctx context.Context, s *stage.Stage, r *rand.Rand) error
	// Check looks for what only this fault promises, after the verifier.
	Check func(f *verify.Facts, found *verify.Report)

	// Allow are the causes, beyond killed and frozen workers, that may explain a job's
	// running again here. Where G5 promises that it does not, it stays empty.
	Allow []history.Cause
	// NewWork and Back are limits of recovery; 0 is none. See verify.Recovery.
	NewWork, Back time.Duration
	Rest          time.Duration // how long until nothing is under way; 0 means 90 s
	Tolerates     string        // what a process may say here that it must never say elsewhere
}

// catalogue is the matrix, in the order of the table.
func catalogue() []Fault {
	var all []Fault
	for _, family := range []func() []Fault{relayFaults, auditFaults, workerFaults, handlerFaults, pullFaults, pushFaults, redisFaults, clusterFaults, postgresFaults, clockFaults, everythingFaults, marathons} {
		all = append(all, family()...)
	}
	return all
}
