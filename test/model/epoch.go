package model

// learn takes over the epoch Postgres has. Nothing that was known of Redis holds.
func (x *explorer) learn(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != idle || s.PGAway || rl.Epoch == s.PG.Epoch {
		return
	}
	n := *s
	n.Relays[r].Epoch, n.Relays[r].Contact = s.PG.Epoch, 0
	x.step(progress, &n, "relay {r} learns of the epoch", who{r: r})
}

// begin ends the epoch when Redis is not the one it belongs to, or Postgres is not.
// A fresh epoch is left to the relay that began it, for a second.
func (x *explorer) begin(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != idle || s.PGAway || rl.Epoch != s.PG.Epoch {
		return
	}
	rd := s.redis(rl.Link)
	if rd == nil || (x.accepts(rd, rl.Epoch) && (s.PG.Ours || !x.on(timelineEndsEpoch))) {
		return
	}
	for _, other := range s.Relays {
		if other.Doing == opening && other.Age == 0 && other.Epoch == s.PG.Epoch && rd.Epoch < s.PG.Epoch && s.PG.Ours {
			return
		}
	}
	n := *s
	at := max(s.PG.Epoch, rd.Epoch)
	if !x.on(aboveRedis) {
		at = s.PG.Epoch
	}
	if !x.newEpoch(&n, at+1) {
		return
	}
	n.Relays[r].Epoch, n.Relays[r].Contact, n.Relays[r].Doing, n.Relays[r].Age = n.PG.Epoch, 0, opening, 0
	x.step(progress, &n, "relay {r} begins a new epoch in Postgres", who{r: r})
}

// newEpoch begins epoch in Postgres, unless the bounds are met.
func (x *explorer) newEpoch(n *State, epoch int8) bool {
	if epoch > x.epochs() {
		x.bounded = true
		return false
	}
	n.PG.Epoch, n.PG.EpochAge, n.PG.Ours, n.PG.AwayOnce = epoch, 0, true, true
	return true
}

// open is the Redis half: the window is thrown away, leases and lost are kept.
func (x *explorer) open(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != opening {
		return
	}
	n := *s
	n.Relays[r].rest()
	rd := n.redis(rl.Link)
	at := who{r: r}
	switch {
	case rd == nil:
		x.step(progress, &n, "relay {r} cannot open its epoch: no Redis", at)
		return
	case rd.Epoch >= rl.Epoch:
		x.step(progress, &n, "open by relay {r} is STALE", at)
		return
	}
	rd.Epoch, rd.Ours = rl.Epoch, true
	rd.Noted = [ids + 1]bool{}
	for d := range rd.Entries {
		for j := range rd.Entries[d] {
			e := &rd.Entries[d][j]
			e.Off = false
			if x.on(windowThrownAway) {
				e.Copies = 0
			}
			if !x.on(lostIsKept) {
				e.Lease, e.Lost = 0, notLost
			}
		}
	}
	x.step(progress, &n, "relay {r} opens its epoch in Redis", at)
}
