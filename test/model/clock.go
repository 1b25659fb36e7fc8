package model

// tick lets half a lease pass. What a prompt process has to do by then, it has done:
// while it could still do so, time stands.
func (x *explorer) tick(s *State) {
	for i := range x.out {
		if x.out[i].kind == urgent {
			return
		}
	}
	n := *s
	reached := false
	for r := range x.relays() {
		rl := &n.Relays[r]
		rd := s.redis(rl.Link)
		reached = reached || rd != nil && !s.PGAway
		rl.Contact = older(rl.Contact, x.accepts(rd, rl.Epoch))
		rl.Steady = older(rl.Steady, !s.PGAway && rl.Epoch == s.PG.Epoch) // whoever is in contact hears of the epoch
		if rl.Doing != idle {
			rl.Age = min(rl.Age+1, due)
			if rl.Doing == auditWait {
				rl.Age = min(s.Relays[r].Age+1, lease)
			}
		}
	}
	for w := range x.workers() {
		reached = reached || !n.Workers[w].Frozen && s.redis(n.Workers[w].Link) != nil && s.postgres(w)
		n.tickAttempts(w)
	}
	n.Redis.tick()
	n.Other.tick()
	x.tickPostgres(&n.PG)
	if s.HasTail {
		x.tickPostgres(&n.Standby)
	}
	if n.PG.Absence = min(n.PG.Absence+1, lease); reached {
		n.PG.Absence, n.PG.AwayOnce = 0, false
	}
	for w := range x.workers() {
		if x.cfg.Heard {
			n.Workers[w].Silent = min(n.Workers[w].Silent+1, lease)
		}
		if !n.Workers[w].Frozen && s.postgres(w) {
			n.tell(w)
		}
	}
	if n != *s {
		x.step(progress, &n, "half a lease passes", who{})
	}
}

func older(age int8, unbroken bool) int8 {
	if !unbroken {
		return 0
	}
	return min(age+1, lease)
}

func (s *State) tickAttempts(w int) {
	if s.redis(s.Workers[w].Link) == nil {
		s.excuseReceipt(w)
	}
	for j := range jobs {
		a := &s.Workers[w].Attempts[j]
		if a.Dispatch == 0 {
			continue
		}
		a.Age = min(a.Age+1, lease)
		// An outcome that reached nobody for a lease may come too late; that Postgres
		// stood still for everybody is no excuse.
		if a.Age == lease && (a.State == finished || a.State == sending) && (!s.PGAway || a.Place == inRedis) {
			a.Excused = true
			s.Past.Excused[a.Dispatch].add(j)
			s.Past.Excused[a.Hold].add(j)
		}
	}
}

func (rd *Redis) tick() {
	for d := range rd.Entries {
		for j := range rd.Entries[d] {
			if e := &rd.Entries[d][j]; e.Lease != 0 {
				e.Lease = min(e.Lease+1, lease+1)
			}
		}
	}
}

func (x *explorer) tickPostgres(p *Postgres) {
	for d := range p.Rows {
		if row := &p.Rows[d]; row.Jobs != 0 && (row.Owner != 0 || x.cfg.Audit) {
			row.Age = min(row.Age+1, lease)
		}
	}
	p.EpochAge = min(p.EpochAge+1, lease)
	for w := range p.Beats {
		p.Beats[w].Age = min(p.Beats[w].Age+1, lease)
	}
}
