package model

// audit is the belt: a batch of the present epoch that was pushed long ago, whose job
// is neither leased nor waiting, twice, 15 s apart. It must find nothing.
func (x *explorer) audit(s *State, r int) {
	if !x.cfg.Audit {
		return
	}
	rl := s.Relays[r]
	if rl.Doing == idle {
		x.auditFrom(s, r)
		return
	}
	if rl.Doing < auditLeases || (rl.Doing == auditWait && rl.Age < lease) {
		return
	}
	n := *s
	n.Relays[r].rest()
	d, rd := rl.Dispatch, s.redis(rl.Link)
	at := who{r: r, d: int(d), j: int(rl.Jobs)}
	j := 0
	if rl.Jobs.has(1) {
		j = 1
	}
	if !x.accepts(rd, rl.Epoch) || s.PGAway || !s.PG.current(d, j) || s.PG.Epoch != rl.Epoch {
		x.step(progress, &n, "the audit of relay {r} is void", at)
		return
	}
	e := rd.Entries[d][j]
	here, to := false, auditLeases
	if rl.Doing == auditLeases || rl.Doing == auditAgain {
		here, to = e.Lease != 0 || e.Lost != notLost, auditLists
	}
	if rl.Doing == auditLists {
		here, to = e.Copies != 0, auditAgain
	}
	if rl.Doing == auditAgain || rl.Doing == auditLists && !x.on(auditReadsTwice) {
		to = auditWait
	}
	switch {
	case here:
		x.step(progress, &n, "relay {r} audits {j} under {d} and finds it", at)
	case to == auditWait && (rl.Counts != 0 || !x.on(auditReadsTwice)):
		n.Violated = auditFound
		x.step(progress, &n, "relay {r} audits {j} under {d} and misses it for the second time", at)
	default:
		n.Relays[r] = rl.next(to)
		n.Relays[r].Age = 0
		if rl.Doing == auditWait {
			n.Relays[r].Counts = rl.Jobs // the second round
		}
		x.step(progress, &n, "relay {r} audits {j} under {d} and does not see it", at)
	}
}

func (x *explorer) auditFrom(s *State, r int) {
	rl := s.Relays[r]
	if s.PGAway || rl.Epoch != s.PG.Epoch || !x.accepts(s.redis(rl.Link), rl.Epoch) {
		return
	}
	for d := int8(1); d <= ids; d++ {
		row := &s.PG.Rows[d]
		if row.Owner != 0 || row.Epoch != rl.Epoch || (x.on(auditPushedOnly) && (!row.Seq || row.Age < lease)) {
			continue
		}
		for j := range jobs {
			if row.Jobs.has(j) && s.PG.current(d, j) {
				n := *s
				n.Relays[r].Doing, n.Relays[r].Dispatch, n.Relays[r].Jobs, n.Relays[r].Age = auditLeases, d, one(j), 0
				x.step(progress, &n, "relay {r} begins to audit {j} under {d}", who{r: r, d: int(d), j: int(one(j))})
			}
		}
	}
}
