package model

// expire moves ended leases to lost in one step, and goes on with what lost has. It
// is asked only after one lease of unbroken contact, and carries a deadline: a Redis
// that stood still, or whose clock was set, has the heartbeats first.
func (x *explorer) expire(s *State, r int) {
	rl := s.Relays[r]
	switch {
	case rl.Doing == idle && rl.Steady < lease && x.on(steadyBeforeReap):
	case rl.Doing == idle && (rl.Contact >= lease || !x.on(contactBeforeReap)) && x.worthReaping(s, r):
		if x.cfg.Late {
			n := *s
			n.Relays[r].Doing, n.Relays[r].Age = reaping, 0
			x.step(progress, &n, "relay {r} decides to reap", who{r: r})
			return
		}
		x.expired(s, r)
	case rl.Doing == reaping && rl.Age >= due && x.on(expiredDeadline):
		n := *s
		n.Relays[r].rest()
		n.Relays[r].Contact = 0
		x.step(progress, &n, "expired by relay {r} is LATE", who{r: r})
	case rl.Doing == reaping:
		x.expired(s, r)
	}
}

// worthReaping spares the search a step that finds nothing.
func (x *explorer) worthReaping(s *State, r int) bool {
	rd := s.redis(s.Relays[r].Link)
	if !x.accepts(rd, s.Relays[r].Epoch) {
		return false
	}
	for d := range rd.Entries {
		for _, e := range rd.Entries[d] {
			if e.Lease > lease || e.Lost != notLost || x.cfg.Late && e.Lease > 0 {
				return true
			}
		}
	}
	return false
}

func (x *explorer) expired(s *State, r int) {
	rl := s.Relays[r]
	n := *s
	rd := n.redis(rl.Link)
	if !x.accepts(rd, rl.Epoch) {
		n.Relays[r].rest()
		x.step(progress, &n, "expired by relay {r} is STALE", who{r: r})
		return
	}
	found := false
	for d := range rd.Entries {
		for j := range rd.Entries[d] {
			e := &rd.Entries[d][j]
			if e.Lease > lease {
				if e.Lost == notLost {
					e.Lost = leaseEnd
				}
				if x.on(expiredMoves) {
					e.Lease = 0
				}
			}
			found = found || e.Lost != notLost
		}
	}
	if !found {
		n.Relays[r].rest()
		x.step(progress, &n, "relay {r} finds no ended lease", who{r: r})
		return
	}
	for d := int8(1); d <= ids; d++ {
		set, counts := lostOf(rd, d)
		if set == 0 {
			continue
		}
		m := n
		m.Relays[r] = rl.next(losing)
		m.Relays[r].Dispatch, m.Relays[r].Jobs, m.Relays[r].Counts, m.Relays[r].Age = d, set, counts, 0
		if !x.on(expiredMoves) {
			for j := range jobs {
				m.redis(rl.Link).Entries[d][j].Lost = notLost // only listed
			}
		}
		x.step(progress, &m, "relay {r}: {j} under {d} is in lost", who{r: r, d: int(d), j: int(set)})
	}
}

func lostOf(rd *Redis, d int8) (set, counts jobSet) {
	for j := range jobs {
		switch rd.Entries[d][j].Lost {
		case leaseEnd:
			counts.add(j)
			set.add(j)
		case missing:
			set.add(j)
		case notLost:
		}
	}
	return set, counts
}

// settle reads what ended epochs left behind and no worker holds in Postgres: after
// one lease, or when every living worker has announced in this epoch.
func (x *explorer) settle(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != idle || s.PGAway || rl.Epoch != s.PG.Epoch || !x.accepts(s.redis(rl.Link), rl.Epoch) {
		return
	}
	if rl.Steady < lease && x.on(steadyBeforeSettle) {
		return // workers may have been cut off from Postgres as this relay was, and not know of the epoch
	}
	if rl.Contact < lease && !x.allAnnounced(s, r) && x.on(waitBeforeSettle) {
		return
	}
	for d := int8(1); d <= ids; d++ {
		row := &s.PG.Rows[d]
		set := s.PG.currentOf(d)
		if set == 0 || row.Epoch >= rl.Epoch || (row.Owner != 0 && x.on(heldNotSettled)) {
			continue
		}
		rd := s.redis(rl.Link)
		without := false
		for j := range jobs {
			without = without || set.has(j) && rd.Entries[d][j].Lease == 0
		}
		if !without && s.Left == (Faults{}) {
			continue // nothing to be found now, and a later look is as good
		}
		n := *s
		n.Relays[r].Doing, n.Relays[r].Dispatch, n.Relays[r].Jobs = settling, d, set
		x.step(progress, &n, "relay {r} reads that {j} under {d} is left of an ended epoch", who{r: r, d: int(d), j: int(set)})
	}
}

// allAnnounced is the early way: every worker in the list has announced and verified
// what it runs, those that Postgres has not heard lately included.
func (x *explorer) allAnnounced(s *State, r int) bool {
	for _, b := range s.PG.Beats {
		if (b.Age < lease || x.on(earlyNeedsAll)) && b.Epoch < s.Relays[r].Epoch {
			return false
		}
	}
	return true
}

// findMissing puts those without a lease into lost, in one step with looking.
func (x *explorer) findMissing(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != settling {
		return
	}
	n := *s
	rd := n.redis(rl.Link)
	n.Relays[r].rest()
	at := who{r: r, d: int(rl.Dispatch), j: int(rl.Jobs)}
	if !x.accepts(rd, rl.Epoch) {
		x.step(progress, &n, "missing by relay {r} is STALE", at)
		return
	}
	var set, counts jobSet
	for j := range jobs {
		if !rl.Jobs.has(j) {
			continue
		}
		e := &rd.Entries[rl.Dispatch][j]
		if e.Lease == 0 {
			if e.Lost == notLost && x.on(missingMoves) {
				e.Lost = missing
			}
			set.add(j)
		}
		if e.Lost != notLost {
			set.add(j)
		}
		if e.Lost == leaseEnd || !x.on(missingDoesntCount) {
			counts.add(j)
		}
	}
	at.j = int(set)
	if set == 0 {
		x.step(progress, &n, "relay {r} finds all of {d} leased", at)
		return
	}
	n.Relays[r] = rl.next(losing)
	n.Relays[r].Jobs, n.Relays[r].Counts = set, counts&set
	x.step(progress, &n, "relay {r} moves {j} under {d}, without a lease, to lost", at)
}

// lose requeues what is current, guarded by dispatch and by the relay's epoch.
func (x *explorer) lose(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != losing || s.PGAway {
		return
	}
	n := *s
	n.Relays[r] = rl.next(dropping)
	at := who{r: r, d: int(rl.Dispatch), j: int(rl.Jobs)}
	if rl.Epoch != s.PG.Epoch && x.on(loseNamesEpoch) {
		x.step(progress, &n, "requeue by relay {r} is refused: another epoch", at)
		return
	}
	var back jobSet
	for j := range jobs {
		if rl.Jobs.has(j) && n.PG.current(rl.Dispatch, j) {
			n.requeue(rl.Dispatch, j, rl.Counts.has(j))
			back.add(j)
		}
	}
	at.j = int(back)
	x.step(progress, &n, "relay {r} requeues {j} of {d}", at)
}

// drop forgets in Redis what Postgres has taken back.
func (x *explorer) drop(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != dropping {
		return
	}
	n := *s
	n.Relays[r].rest()
	rd := n.redis(rl.Link)
	at := who{r: r, d: int(rl.Dispatch), j: int(rl.Jobs)}
	if !x.accepts(rd, rl.Epoch) {
		x.step(progress, &n, "drop by relay {r} is refused", at)
		return
	}
	for j := range jobs {
		if rl.Jobs.has(j) {
			e := &rd.Entries[rl.Dispatch][j]
			e.Lost = notLost
			if x.on(expiredMoves) || e.Lease > lease {
				e.Lease = 0
			}
		}
	}
	x.step(progress, &n, "relay {r} drops {j} of {d}", at)
}

// requeue takes an attempt back, and judges whether that was right.
func (s *State) requeue(d int8, j int, counts bool) {
	s.judgeRequeue(d, j, counts)
	s.PG.Jobs[j] = Job{Status: queued}
}
