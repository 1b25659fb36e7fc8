package model

// violation is a broken promise.
type violation uint8

const (
	none violation = iota
	sameFence
	twoPrompt
	neverTold
	secondCopy
	acceptedTwice
	staleAccepted
	takenFromPrompt
	countedForNothing
	endedInReach
	auditFound
	stuck
)

var violations = [...]string{
	none:              "none",
	sameFence:         "G3: two workers run one job under one fence",
	twoPrompt:         "G5: two prompt workers run one job",
	neverTold:         "G5: a worker keeps a lease for an attempt that is over, and nobody will tell it",
	secondCopy:        "G4: a job came into Redis twice under one dispatch",
	acceptedTwice:     "G3: two outcomes of one attempt were accepted",
	staleAccepted:     "G3: the outcome of an attempt that is over was accepted",
	takenFromPrompt:   "G5: an attempt was taken back from a prompt worker",
	countedForNothing: "G5: a loss was counted though no worker was lost",
	endedInReach:      "G5: a worker that reaches Postgres gave an attempt up",
	auditFound:        "G2: the background audit found something",
	stuck:             "G2: a job cannot reach a terminal status any more",
}

func (v violation) String() string { return violations[v] }

// judge looks at one state.
func (x *explorer) judge(s *State) violation {
	if s.Violated != none {
		return s.Violated
	}
	for j := range jobs {
		a, b := &s.Workers[0].Attempts[j], &s.Workers[1].Attempts[j]
		if !a.works() || !b.works() {
			continue
		}
		if a.Dispatch == b.Dispatch && !a.Adopted && !b.Adopted {
			return sameFence
		}
		if a.known() != b.known() && !a.Excused && !b.Excused && !s.said(a, j) && !s.said(b, j) {
			return twoPrompt
		}
	}
	for w := range workers {
		for j := range jobs {
			if x.forgotten(s, w, j) {
				return neverTold
			}
		}
	}
	return none
}

// works reports whether a handler runs, or is about to.
func (a *Attempt) works() bool {
	return a.Dispatch != 0 && (a.State == runs || a.State == taken && !a.Adopted)
}

// forgotten reports whether w runs an attempt that is over, in the present epoch, with
// a good lease, and nobody is on the way to tell it.
func (x *explorer) forgotten(s *State, w, j int) bool {
	wk := &s.Workers[w]
	a := &wk.Attempts[j]
	if x.shares() && (x.on(sharedVerified) || s.said(a, j)) {
		return false // it is told with its next beat, or its client has said so itself
	}
	if !a.works() || a.Place != inRedis || a.Lost || a.Hold != 0 || wk.Frozen || s.PG.current(a.Dispatch, j) || s.PG.Cancels[a.Dispatch].has(j) {
		return false
	}
	rd := s.redis(wk.Link)
	if !x.accepts(rd, wk.Epoch) || wk.Epoch != s.PG.Epoch || wk.Joined != wk.Epoch || wk.Truth != wk.Epoch || wk.Refused || !s.PG.Ours {
		return false
	}
	e := rd.Entries[a.Dispatch][j]
	if e.Lease == 0 || e.Lease > lease || e.Lost != notLost || e.Off {
		return false
	}
	for _, rl := range s.Relays {
		if rl.Dispatch == a.Dispatch && (rl.Doing == losing || rl.Doing == dropping || rl.Doing == settling) {
			return false
		}
	}
	return true
}

// judgeRequeue looks at a taking back when it happens.
func (s *State) judgeRequeue(d int8, j int, counts bool) {
	if counts && !s.Past.Excused[d].has(j) {
		s.Violated = countedForNothing
	}
	for w := range s.Workers {
		a := &s.Workers[w].Attempts[j]
		if (a.Dispatch == d || a.Hold == d) && a.Dispatch != 0 && !a.Lost && !a.Excused && !a.adopting() {
			s.Violated = takenFromPrompt
		}
	}
}
