package model

// beginAway ends the epoch in Postgres alone when no process has reached Redis for
// long. Nothing can be dispatched into the next one until some Redis opens it, so
// this is due again only when rows of the present epoch are for Redis.
func (x *explorer) beginAway(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != idle || s.PGAway || rl.Epoch != s.PG.Epoch || s.PG.Absence < lease {
		return
	}
	if s.redis(rl.Link) != nil && x.on(awayItself) {
		return
	}
	if x.on(awayWhenLeft) {
		if x.forRedis(s) == 0 && (s.PG.Ours || !x.on(awayTimeline)) {
			return
		}
	} else if s.PG.AwayOnce {
		return
	}
	n := *s
	if x.on(awayNewEpoch) && !x.newEpoch(&n, s.PG.Epoch+1) {
		return
	}
	n.PG.AwayOnce = true
	n.Relays[r].Epoch, n.Relays[r].Contact = n.PG.Epoch, 0
	x.step(progress, &n, "Redis is away: relay {r} ends the epoch in Postgres alone", who{r: r})
}

// forRedis counts the rows of the present epoch that are current and for Redis.
func (x *explorer) forRedis(s *State) (rows int) {
	for d := int8(1); d <= ids; d++ {
		if row := &s.PG.Rows[d]; row.Owner == 0 && row.Epoch == s.PG.Epoch && s.PG.currentOf(d) != 0 {
			rows++
		}
	}
	return rows
}

// settleAway requeues, one lease after the epoch began and Redis still away, what
// ended epochs left behind: by then every worker has held or ended it.
func (x *explorer) settleAway(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != idle || s.PGAway || rl.Epoch != s.PG.Epoch || s.PG.Absence < lease {
		return
	}
	if s.PG.EpochAge < lease && x.on(awayWaits) {
		return
	}
	if s.redis(rl.Link) != nil && x.on(awayItself) || rl.Steady < lease && x.on(awaySteady) {
		return
	}
	if !x.on(awayNewEpoch) && !s.PG.AwayOnce {
		return
	}
	for d := int8(1); d <= ids; d++ {
		row, set := &s.PG.Rows[d], s.PG.currentOf(d)
		if set == 0 || (row.Owner != 0 && x.on(heldNotSettled)) || (row.Epoch >= rl.Epoch && x.on(awayNewEpoch)) {
			continue
		}
		n := *s
		for j := range jobs {
			if set.has(j) {
				n.requeue(d, j, !x.on(missingDoesntCount))
			}
		}
		x.step(progress, &n, "relay {r} settles {j} under {d} without Redis", who{r: r, d: int(d), j: int(set)})
	}
}

// takeBack requeues the jobs of a Postgres lease that ended, and deletes its row, in
// one statement that holds the row's lock.
func (x *explorer) takeBack(s *State, r int) {
	rl := s.Relays[r]
	if s.PGAway {
		return
	}
	if rl.Doing == takingBack { // only without the lock
		n := *s
		n.Relays[r].rest()
		n.takeBack(rl.Dispatch)
		x.step(progress, &n, "relay {r} takes back {d}", who{r: r, d: int(rl.Dispatch)})
		return
	}
	if rl.Doing != idle || (rl.Steady < lease && x.on(steadyBeforeBack)) {
		return
	}
	for d := int8(1); d <= ids; d++ {
		if row := &s.PG.Rows[d]; row.Jobs == 0 || row.Owner == 0 || row.Age < lease {
			continue
		}
		n := *s
		if !x.on(rowLock) {
			n.Relays[r].Doing, n.Relays[r].Dispatch = takingBack, d
			x.step(progress, &n, "relay {r} reads that the Postgres lease of {d} has ended", who{r: r, d: int(d)})
			continue
		}
		n.takeBack(d)
		x.step(progress, &n, "relay {r} takes back {d}, whose Postgres lease has ended", who{r: r, d: int(d)})
	}
}

func (s *State) takeBack(d int8) {
	set := s.PG.currentOf(d)
	s.PG.Rows[d] = Row{}
	for j := range jobs {
		if set.has(j) {
			s.requeue(d, j, true)
		}
	}
}
