package model

// The bounds. Two of each is what the holes need: one that is late and one that
// has gone on. A dispatch id that nothing refers to any more is given again, so the
// number of attempts is not bounded, only how many ids are in use at once.
const (
	jobs    = 2
	relays  = 2
	workers = 2
	ids     = 5 // dispatch ids in use at once; 0 is none
)

// Ages count half-leases (7.5 s), the coarsest clock that keeps the order of what
// the protocol times: a prompt worker renews or ends (13 s) before the second, and at
// the second a lease (15 s) has ended.
const (
	due   = 1 // of an attempt: renew it now, or end it; of a push: its deadline has passed
	lease = 2 // of anything: one lease has gone by
)

// State is everything at one moment. It has only fields of one byte, so that it is
// compared and hashed as plain memory.
type State struct {
	PG       Postgres
	Standby  Postgres // what a standby has that stopped following
	Redis    Redis
	Other    Redis // a replica that stopped following, or the old master of a split brain
	Relays   [relays]Relay
	Workers  [workers]Worker
	PGAway   bool // Postgres answers nobody
	Away     bool // Redis answers nobody
	HasTail  bool // Standby is one
	OtherIs  other
	Left     Faults // what may still go wrong
	Past     Past
	Violated violation // by the last step
}

type other uint8

const (
	nothing other = iota
	replica
	oldMaster
)

// Postgres is the truth.
type Postgres struct {
	Jobs     [jobs]Job
	Rows     [ids + 1]Row    // the ledger
	Cancels  [ids + 1]jobSet // orders on their way to Redis
	Epoch    int8            // queues.epoch
	EpochAge int8
	Ours     bool // queues.life is this Postgres
	AwayOnce bool // the present epoch is newer than any contact: without the rule awayWhenLeft it never ends
	Absence  int8 // since any process said that it reached Redis
	Beats    [workers]Beat
}

// Job is a row of jobs. Dispatch is 0 unless the job is out.
type Job struct {
	Status   status
	Dispatch int8
}

type status uint8

const (
	queued status = iota
	dispatched
	running
	completed
	cancelled
)

// Row is a row of the ledger; without jobs there is none.
type Row struct {
	Jobs  jobSet
	Epoch int8
	Seq   bool // D3 was recorded
	Owner int8 // 1 + the worker that holds it in Postgres; 0: it is for Redis
	Age   int8 // of the Postgres lease, or since D1
}

// Beat is a worker's row of processes.
type Beat struct {
	Age   int8
	Epoch int8 // in which it has announced and verified what it runs
}

// noRow is above every epoch: a worker that Postgres never heard of holds nobody up.
const noRow = 100

// Redis is one Redis server with one queue's keys.
type Redis struct {
	Epoch    int8 // meta.epoch; 0: there is no meta
	Ours     bool // meta.life is this very process
	Noted    [ids + 1]bool
	Entries  [ids + 1][jobs]Entry
	Receipts [workers]Receipt
	OffJobs  jobSet // cancelled, if orders named jobs
}

// Entry is what Redis has of one attempt, a job under a dispatch.
type Entry struct {
	Copies int8 // in the lists
	Lease  int8 // 0: none; else 1 + its age
	Lost   lost
	Off    bool // cancelled has it
}

type lost uint8

const (
	notLost  lost = iota
	missing       // left behind by an ended epoch: no fault of the job's
	leaseEnd      // its worker let the lease end: counts
)

// Receipt is what the last take of a worker handed over.
type Receipt struct{ Dispatch, Job int8 }

// Relay is one relay. What it does is one thing at a time; a real one does its
// duties side by side, which here is what two relays do.
type Relay struct {
	Doing    doing
	Dispatch int8   // what it does it to
	Envelope int8   // the dispatch in the envelopes of a push
	Jobs     jobSet // of Dispatch
	Counts   jobSet // of Jobs: lost_count is raised
	Epoch    int8   // in which it believes
	Age      int8   // of what it does
	Contact  int8   // unbroken, with this Redis, in this epoch
	Steady   int8   // contact with this Postgres
	Link     link
}

type doing uint8

const (
	idle doing = iota
	pushing
	recording
	opening
	reaping     // decided to, expired not run yet
	settling    // has read what is left behind
	losing      // Redis has moved it to lost
	dropping    // Postgres has decided
	takingBack  // without the row lock: has read that the Postgres lease ended
	auditLeases // the background audit, one read after the other
	auditLists
	auditAgain
	auditWait
)

type link uint8

const (
	linked link = iota
	toOld       // to the old master
	cut
)

// Worker is one worker process.
type Worker struct {
	Epoch    int8 // in which what it holds is leased
	Joined   int8 // in which all it holds was announced and verified
	Truth    int8 // the highest it was told of
	Refused  bool // Redis answered STALE
	Told     bool // Postgres has heard a beat of it
	Frozen   bool
	Silent   int8 // since Postgres answered it
	Asking   bool // a take is unanswered
	CutPG    bool
	Link     link
	AskedIn  int8 // the epoch of the unanswered take
	Claim    int8 // a direct claim that is unanswered
	Attempts [jobs]Attempt
}

// Attempt is what a worker holds of one job; without Dispatch nothing.
type Attempt struct {
	Dispatch int8
	Envelope int8 // the dispatch it was taken under, while it is not begun
	Hold     int8 // the id of a hold that is unanswered
	Sent     int8 // the dispatch its outcome names
	Was      int8 // the dispatch it was handed out as, of one that is held and may be shared
	State    attemptState
	Place    place
	Back     bool // its outcome puts the job back
	Lost     bool // its lease is not renewed any more
	Age      int8 // since it was renewed, by the worker's clock
	Epoch    int8 // of its take
	Excused  bool // frozen, cut off or called off since it was renewed: may be run again
	Adopted  bool // from another worker; while taken, it is being adopted
	Own      bool // Back is the worker's own doing, no client has said so
}

type attemptState uint8

const (
	taken attemptState = iota
	runs
	finished // has an outcome
	sending  // which is in the writer's hands
)

type place uint8

const (
	inRedis place = iota
	inPostgres
)

// Past is what a step needs to know of earlier ones to be judged. The protocol does
// not see it.
type Past struct {
	Pushed   [ids + 1]jobSet // a copy came into Redis
	Accepted [ids + 1]jobSet // an outcome was accepted
	Excused  [ids + 1]jobSet // a worker with it was killed, frozen or cut off
	Phantom  [ids + 1]bool   // over before anybody could be told: called off, or forgotten by Postgres
	Reissue  [ids + 1]bool   // Postgres has forgotten that it gave this id
	Seen     [ids + 1]jobSet // a client has it, which may come to another worker
}

// jobSet is a set of jobs.
type jobSet uint8

func one(j int) jobSet             { return 1 << j }
func (b jobSet) has(j int) bool    { return b&(1<<j) != 0 }
func (b *jobSet) add(j int)        { *b |= 1 << j }
func (b jobSet) sub(c jobSet) bool { return b&^c == 0 }

// current reports whether j is out under d: the guard of every write after dispatch.
func (p *Postgres) current(d int8, j int) bool {
	return d != 0 && p.Jobs[j].Dispatch == d && (p.Jobs[j].Status == dispatched || p.Jobs[j].Status == running)
}

// currentOf returns the jobs of d's row that are out under d.
func (p *Postgres) currentOf(d int8) (set jobSet) {
	for j := range p.Jobs {
		if p.Rows[d].Jobs.has(j) && p.current(d, j) {
			set.add(j)
		}
	}
	return set
}

// redis returns the server a link leads to; nil: none answers.
func (s *State) redis(l link) *Redis {
	switch {
	case s.Away || l == cut:
		return nil
	case l == toOld && s.OtherIs == oldMaster:
		return &s.Other
	case l == toOld:
		return nil
	}
	return &s.Redis
}

// postgres reports whether Postgres answers w.
func (s *State) postgres(w int) bool { return !s.PGAway && !s.Workers[w].CutPG }

// over reports whether every job has reached a terminal status.
func (s *State) over(cfg *Scenario) bool {
	for j := range cfg.Jobs {
		if st := s.PG.Jobs[j].Status; st != completed && st != cancelled {
			return false
		}
	}
	return true
}
