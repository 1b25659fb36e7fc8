package model

// claim is D1: one statement, one commit. Which jobs fit is left open; nothing is
// claimed unless the relay's belief is Postgres' epoch and, as far as it can see, open.
func (x *explorer) claim(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != idle || s.PGAway || rl.Epoch != s.PG.Epoch || (!s.PG.Ours && x.on(timelineEndsEpoch)) {
		return
	}
	if !x.accepts(s.redis(rl.Link), rl.Epoch) && x.on(claimNeedsOpen) {
		return
	}
	var all jobSet
	for j := range x.cfg.Jobs {
		if s.PG.Jobs[j].Status == queued {
			all.add(j)
		}
	}
	for set := jobSet(1); set < 1<<jobs; set++ {
		if !set.sub(all) {
			continue
		}
		n := *s
		d := x.freeID(s)
		if d == 0 {
			x.bounded = true
			return
		}
		n.dispatch(d, set, 0)
		n.Relays[r].Doing, n.Relays[r].Dispatch, n.Relays[r].Envelope = pushing, d, d
		n.Relays[r].Jobs, n.Relays[r].Age = set, 0
		x.step(progress, &n, "relay {r} claims {j} as {d}", who{r: r, d: int(d), j: int(set)})
	}
}

// dispatch moves jobs out under d, with their ledger row.
func (s *State) dispatch(d int8, set jobSet, owner int8) {
	for j := range jobs {
		if set.has(j) {
			s.PG.Jobs[j] = Job{Status: dispatched, Dispatch: d}
		}
	}
	s.PG.Rows[d] = Row{Jobs: set, Epoch: s.PG.Epoch, Owner: owner}
	if s.Past.Reissue[d] {
		s.Past.Phantom[d] = false
		s.Past.Reissue[d], s.Past.Pushed[d], s.Past.Accepted[d], s.Past.Excused[d] = false, 0, 0, 0
	}
}

// push is D2. A crash before it leaves the row without seq; after it, too, and the
// batch noted.
func (x *explorer) push(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != pushing {
		return
	}
	n := *s
	n.Relays[r].rest()
	rd := n.redis(rl.Link)
	at := who{r: r, d: int(rl.Dispatch), e: int(rl.Envelope), j: int(rl.Jobs)}
	switch {
	case rd == nil:
		x.step(progress, &n, "relay {r} cannot push {d}: no Redis", at)
		return
	case !x.accepts(rd, rl.Epoch) && (x.on(pushNamesEpoch) || rd.Epoch == 0):
		x.step(progress, &n, "push of {d} by relay {r} is STALE", at)
		return
	case rd.Noted[rl.Dispatch] && x.on(pushOnce):
		n.Relays[r] = rl.next(recording)
		x.step(progress, &n, "push of {d} by relay {r} is DUP", at)
		return
	case rl.Age >= due && x.on(pushDeadline):
		x.step(progress, &n, "push of {d} by relay {r} is LATE", at)
		return
	}
	rd.Noted[rl.Dispatch] = true
	d := rl.Envelope
	for j := range jobs {
		if !rl.Jobs.has(j) {
			continue
		}
		rd.Entries[d][j].Copies = min(rd.Entries[d][j].Copies+1, 2)
		if n.Past.Pushed[d].has(j) {
			n.Violated = secondCopy
		}
		n.Past.Pushed[d].add(j)
	}
	if s.Left.LosePush > 0 {
		m := n
		m.Left.LosePush--
		x.step(outside, &m, "relay {r} pushes {j} under {d}, the reply is lost", at)
	}
	n.Relays[r] = rl.next(recording)
	x.step(progress, &n, "relay {r} pushes {j} under {d}", at)
}

// record is D3.
func (x *explorer) record(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != recording || s.PGAway {
		return
	}
	n := *s
	if n.PG.Rows[rl.Dispatch].Jobs != 0 {
		n.PG.Rows[rl.Dispatch].Seq = true
	}
	n.Relays[r].rest()
	x.step(progress, &n, "relay {r} records {d}", who{r: r, d: int(rl.Dispatch)})
}

// rest has a relay do nothing.
func (r *Relay) rest() {
	r.Doing, r.Dispatch, r.Envelope, r.Jobs, r.Counts, r.Age = idle, 0, 0, 0, 0, 0
}

func (r Relay) next(d doing) Relay {
	r.Doing = d
	return r
}
