package model

// hold moves what Redis does not renew to a ledger row with a Postgres lease, under
// an id the worker draws: one statement, which may be sent again.
func (x *explorer) hold(s *State, w int) {
	if !s.postgres(w) || !x.on(holds) {
		return
	}
	wk := &s.Workers[w]
	var set jobSet
	again, slow := int8(0), false
	for j := range jobs {
		if a := &wk.Attempts[j]; a.Hold != 0 {
			again = a.Hold
		}
	}
	for j := range jobs {
		a := &wk.Attempts[j]
		switch {
		case again != 0 && a.Hold == again:
			set.add(j)
		case again == 0 && x.holdable(s, w, a):
			set.add(j)
		case again == 0 && s.Left.SlowRedis > 0 && x.leased(a) && a.Hold == 0 && (a.State == taken && !a.Adopted || a.State == runs):
			set.add(j)
			slow = true
		}
	}
	if set == 0 {
		return
	}
	d, kind := again, urgent
	if d == 0 || !x.on(holdSameID) {
		if d = x.freeID(s); d == 0 {
			x.bounded = true
			return
		}
	}
	n := *s
	if slow {
		n.Left.SlowRedis--
		kind = outside
	}
	at := who{w: w, d: int(d), j: int(set)}
	moved := n.hold(w, d, set)
	if s.Left.LoseHold > 0 {
		m := n
		m.Left.LoseHold--
		m.Workers[w].unanswered(d, set)
		x.step(outside, &m, "worker {w} holds {j} as {d}, the reply is lost", at)
		m = *s
		m.Left.LoseHold--
		m.Workers[w].unanswered(d, set)
		x.step(outside, &m, "worker {w} asks to hold {j} as {d}, the request is lost", at)
	}
	for j := range jobs {
		if !set.has(j) {
			continue
		}
		a := &n.Workers[w].Attempts[j]
		a.Hold = 0
		if moved.has(j) {
			if x.shares() {
				a.Was = a.Dispatch
			}
			a.Dispatch, a.Place, a.Age, a.Excused = d, inPostgres, 0, false
		} else {
			a.lose()
		}
	}
	x.step(kind, &n, "worker {w} asks to hold {j} as {d}", at)
}

// holdable reports whether a is to be held now: not renewed for 6 s, or of a queue
// whose newer epoch this Redis has not opened.
func (x *explorer) holdable(s *State, w int, a *Attempt) bool {
	wk := &s.Workers[w]
	if !x.leased(a) || a.Hold != 0 || a.adopting() || (a.State == finished || a.State == sending) && x.on(writerNotHeld) {
		return false
	}
	if x.renewable(s, w) {
		return false
	}
	return a.Age >= due || wk.Truth > wk.Epoch
}

// hold is the statement. It returns the jobs that are held now.
func (s *State) hold(w int, d int8, set jobSet) (moved jobSet) {
	for j := range jobs {
		a := &s.Workers[w].Attempts[j]
		if !set.has(j) || !s.PG.current(a.Dispatch, j) && !s.PG.current(d, j) {
			continue
		}
		s.PG.Jobs[j].Dispatch = d
		if s.Past.Excused[a.Dispatch].has(j) {
			s.Past.Excused[d].add(j)
		}
		moved.add(j)
	}
	if moved != 0 {
		s.PG.Rows[d] = Row{Jobs: moved, Epoch: s.PG.Epoch, Owner: int8(w + 1)}
	}
	return moved
}

func (w *Worker) unanswered(d int8, set jobSet) {
	for j := range jobs {
		if set.has(j) {
			w.Attempts[j].Hold = d
		}
	}
}

// renew renews Postgres leases. What does not come back, or is not current, is over.
func (x *explorer) renew(s *State, w int) {
	if !s.postgres(w) {
		return
	}
	n := *s
	due := false
	for j := range jobs {
		a := &n.Workers[w].Attempts[j]
		if a.Dispatch == 0 || a.Place != inPostgres || a.Lost {
			continue
		}
		due = due || a.Age > 0 || !s.PG.current(a.Dispatch, j)
		row := &n.PG.Rows[a.Dispatch]
		if row.Jobs != 0 && row.Owner == int8(w+1) {
			row.Age = 0
		}
		if s.PG.current(a.Dispatch, j) && row.Owner == int8(w+1) || !x.on(goneIsOver) {
			n.renewed(w, j)
			if !s.PG.current(a.Dispatch, j) {
				n.Violated = neverTold
			}
		} else {
			a.lose()
		}
	}
	if due && n != *s {
		x.step(urgent, &n, "worker {w} renews in Postgres", who{w: w})
	}
}

// direct claims straight from ready while Redis does not answer: D1 with an owner.
func (x *explorer) direct(s *State, w int) {
	wk := &s.Workers[w]
	if !x.cfg.Direct || !s.postgres(w) {
		return
	}
	if wk.Claim != 0 {
		x.directAgain(s, w)
		return
	}
	rd := s.redis(wk.Link)
	if rd != nil && (x.cfg.Faults.Split == 0 || x.accepts(rd, wk.Truth)) || wk.Truth != s.PG.Epoch || !s.PG.Ours {
		return // Redis answers, and not for want of an epoch that it will never open
	}
	var all jobSet
	for j := range x.cfg.Jobs {
		if s.PG.Jobs[j].Status == queued && wk.Attempts[j].Dispatch == 0 {
			all.add(j)
		}
	}
	for set := jobSet(1); set < 1<<jobs; set++ {
		if !set.sub(all) {
			continue
		}
		d := x.freeID(s)
		if d == 0 {
			x.bounded = true
			return
		}
		n := *s
		n.dispatch(d, set, int8(w+1))
		at := who{w: w, d: int(d), j: int(set)}
		if s.Left.LoseDirect > 0 {
			m := n
			m.Left.LoseDirect--
			if x.on(directSameID) {
				m.Workers[w].Claim = d
			}
			x.step(outside, &m, "worker {w} claims {j} as {d} straight from Postgres, the reply is lost", at)
		}
		n.Workers[w].gets(x, d, set)
		x.step(progress, &n, "worker {w} claims {j} as {d} straight from Postgres", at)
	}
}

// directAgain asks for the jobs of a claim that was not answered.
func (x *explorer) directAgain(s *State, w int) {
	n := *s
	d := s.Workers[w].Claim
	n.Workers[w].Claim = 0
	set := s.PG.currentOf(d)
	if s.PG.Rows[d].Owner != int8(w+1) {
		set = 0
	}
	if set != 0 {
		n.PG.Rows[d].Age = 0
		n.Workers[w].gets(x, d, set)
	}
	x.step(urgent, &n, "worker {w} repeats its claim {d} and gets {j}", who{w: w, d: int(d), j: int(set)})
}

func (w *Worker) gets(x *explorer, d int8, set jobSet) {
	for j := range jobs {
		if set.has(j) {
			w.Attempts[j] = x.attempt(d, 0)
			w.Attempts[j].Place, w.Attempts[j].Envelope = inPostgres, 0
		}
	}
}
