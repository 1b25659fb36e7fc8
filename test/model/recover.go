package model

// recover rebuilds a batch that nobody has recorded as pushed, and pushes it under
// its own id. Redis' clock is read before the jobs are: the deadline counts from here.
func (x *explorer) recover(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != idle || s.PGAway || rl.Epoch != s.PG.Epoch || (!s.PG.Ours && x.on(timelineEndsEpoch)) {
		return
	}
	if s.redis(rl.Link) == nil {
		return
	}
	for d := int8(1); d <= ids; d++ {
		row := &s.PG.Rows[d]
		if row.Jobs == 0 || row.Seq || (row.Owner != 0 && x.on(heldNotRecovered)) || (row.Epoch != rl.Epoch && x.on(onlyPresentEpoch)) {
			continue
		}
		var set jobSet
		for j := range jobs {
			if row.Jobs.has(j) && s.PG.Jobs[j].Dispatch == d && s.PG.Jobs[j].Status == dispatched {
				set.add(j)
			}
		}
		n := *s
		n.Relays[r].Doing, n.Relays[r].Dispatch, n.Relays[r].Envelope, n.Relays[r].Jobs, n.Relays[r].Age = pushing, d, d, set, 0
		if set != 0 {
			x.step(progress, &n, "relay {r} rebuilds {d} with {j}", who{r: r, d: int(d), j: int(set)})
		} else {
			n = *s
			n.PG.Rows[d].Seq = true
			x.step(progress, &n, "relay {r} finds nothing of {d} left to push", who{r: r, d: int(d)})
		}
		if x.on(rebuildByDispatch) {
			continue
		}
		for j := range jobs {
			if e := s.PG.Jobs[j].Dispatch; row.Jobs.has(j) && e != d && s.PG.Jobs[j].Status == dispatched {
				m := *s
				m.Relays[r].Doing, m.Relays[r].Dispatch, m.Relays[r].Envelope, m.Relays[r].Jobs, m.Relays[r].Age = pushing, d, e, one(j), 0
				x.step(progress, &m, "relay {r} rebuilds {d} with {j} as it is now, under {e}", who{r: r, d: int(d), e: int(e), j: int(one(j))})
			}
		}
	}
}

// sweep deletes a row of which no job is current. Rows that are recorded, or held,
// go by themselves: see tidy.
func (x *explorer) sweep(s *State, r int) {
	if s.Relays[r].Doing != idle || s.PGAway {
		return
	}
	for d := int8(1); d <= ids; d++ {
		if s.PG.Rows[d].Jobs != 0 && s.PG.currentOf(d) == 0 {
			n := *s
			n.PG.Rows[d] = Row{}
			x.step(progress, &n, "relay {r} sweeps {d}", who{r: r, d: int(d)})
		}
	}
}
