package model

// leased reports whether a is leased in Redis: beats and announces name it.
func (x *explorer) leased(a *Attempt) bool {
	return a.Dispatch != 0 && a.Place == inRedis && !a.Lost && (a.Hold == 0 || x.on(holdKeepsLease) || !x.on(holdDoesntCount))
}

// heard reports whether what Redis says of a counts: not while a hold is unanswered,
// for then nobody here knows under which dispatch it is.
func (x *explorer) heard(a *Attempt) bool {
	return a.Hold == 0 || !x.on(holdDoesntCount)
}

// lose: somebody took the attempt back. A handler ends; an outcome that is known is
// sent all the same, the fence decides.
func (a *Attempt) lose() {
	if a.State == taken || a.State == runs {
		*a = Attempt{}
		return
	}
	a.Lost = true
}

// renewed notes a renewal.
func (s *State) renewed(w, j int) {
	a := &s.Workers[w].Attempts[j]
	a.Age = 0
	if s.PG.current(a.Dispatch, j) && (a.Place == inPostgres || s.Workers[w].Epoch == s.PG.Epoch) {
		a.Excused = false
	}
}

// beats reports whether a beat of w would be carried out.
func (x *explorer) beats(s *State, w int) bool {
	wk := &s.Workers[w]
	return !wk.Refused && x.accepts(s.redis(wk.Link), wk.Epoch)
}

// beat renews what is leased in Redis. What is gone is over.
func (x *explorer) beat(s *State, w int) {
	wk := &s.Workers[w]
	due := false
	for j := range jobs {
		a := &wk.Attempts[j]
		due = due || x.leased(a) && a.Age > 0
	}
	rd := s.redis(wk.Link)
	if wk.Refused || rd == nil || !due {
		return
	}
	if !x.accepts(rd, wk.Epoch) {
		x.stale(s, w, rd, urgent, "beat of worker {w} is STALE")
		return
	}
	n := *s
	to := n.redis(wk.Link)
	for j := range jobs {
		a := &n.Workers[w].Attempts[j]
		if !x.leased(a) {
			continue
		}
		e := &to.Entries[a.Dispatch][j]
		switch {
		case !x.heard(a):
			e.Lease = min(e.Lease, 1)
		case e.Lease == 0:
			a.lose()
		case e.Off && (a.State == taken || a.State == runs):
			*a, e.Lease, e.Off = Attempt{}, 0, false // its handler ends, Postgres refuses what it returns, acked
		default:
			e.Lease = 1
			n.renewed(w, j)
		}
	}
	if n != *s {
		x.step(urgent, &n, "worker {w} beats", who{w: w})
	}
}

// end: renewed in neither place for 13 s by the worker's own clock. What the handler
// then returns puts the job back, if the attempt is still current.
func (x *explorer) end(s *State, w int) {
	if !x.on(endAtLimit) {
		return
	}
	wk := &s.Workers[w]
	for j := range jobs {
		a := &wk.Attempts[j]
		if a.Dispatch == 0 || a.Lost || a.Age < due || (a.State != taken && a.State != runs) {
			continue
		}
		reach := s.postgres(w) && (x.on(holds) || a.Place == inPostgres)
		if a.Age < lease && (reach || x.leased(a) && x.heard(a) && x.renewable(s, w)) {
			continue
		}
		n := *s
		to := &n.Workers[w].Attempts[j]
		to.Excused = true
		n.Past.Excused[a.Dispatch].add(j)
		n.Past.Excused[a.Hold].add(j)
		if s.postgres(w) && a.Age < lease {
			n.Violated = endedInReach
		}
		to.endsItself(x)
		x.step(urgent, &n, "worker {w} ends {j} under {d}: not renewed for 13 s", who{w: w, d: int(a.Dispatch), j: int(one(j))})
	}
}

// renewable reports whether Redis would renew what w has there.
func (x *explorer) renewable(s *State, w int) bool {
	wk := &s.Workers[w]
	if wk.Truth > wk.Epoch && x.on(holdsBehind) {
		return x.accepts(s.redis(wk.Link), wk.Truth)
	}
	return x.beats(s, w) || x.accepts(s.redis(wk.Link), wk.Truth)
}

// announce leases anew, in a newer epoch, what w holds.
func (x *explorer) announce(s *State, w int) {
	wk := &s.Workers[w]
	rd := s.redis(wk.Link)
	if rd == nil || (wk.Epoch == wk.Truth && !wk.Refused) {
		return
	}
	if !x.accepts(rd, wk.Truth) {
		n := *s
		n.Workers[w].Truth = max(wk.Truth, rd.Epoch)
		n.Workers[w].Refused = wk.Refused || wk.Truth == wk.Epoch
		if n != *s {
			x.step(urgent, &n, "announce of worker {w} is STALE", who{w: w})
		}
		return
	}
	n := *s
	to := n.redis(wk.Link)
	held := false
	for j := range jobs {
		a := &n.Workers[w].Attempts[j]
		if !x.leased(a) {
			continue
		}
		held = true
		e := &to.Entries[a.Dispatch][j]
		switch {
		case !x.heard(a) && e.Lost == notLost:
			e.Lease = 1
		case !x.heard(a):
		case e.Lost != notLost && x.on(announceNotLost):
			a.lose()
		case x.on(announceAnew):
			e.Lease, a.Age = 1, 0
		}
	}
	n.Workers[w].Epoch, n.Workers[w].Refused = wk.Truth, false
	if !held {
		n.Workers[w].Joined = wk.Truth // nothing to verify
	}
	x.step(urgent, &n, "worker {w} announces what it holds", who{w: w})
}

// verify asks Postgres which of the announced attempts are current.
func (x *explorer) verify(s *State, w int) {
	wk := &s.Workers[w]
	if wk.Epoch != wk.Truth || wk.Joined == wk.Epoch || wk.Refused || !s.postgres(w) {
		return
	}
	n := *s
	for j := range jobs {
		a := &n.Workers[w].Attempts[j]
		if !x.leased(a) || !x.heard(a) || s.PG.current(a.Dispatch, j) || !x.on(verifyAfter) {
			continue
		}
		a.lose() // the ack of it need not arrive
	}
	n.Workers[w].Joined = wk.Epoch
	x.step(urgent, &n, "worker {w} verifies what it announced", who{w: w})
}

// tell is a worker's beat in Postgres, which answers with the epoch.
func (x *explorer) tell(s *State, w int) {
	if !s.postgres(w) {
		return
	}
	n := *s
	n.tell(w)
	if n != *s {
		x.step(progress, &n, "worker {w} tells Postgres that it lives, and hears of the epoch", who{w: w})
	}
}

func (s *State) tell(w int) {
	wk := &s.Workers[w]
	rd := s.redis(wk.Link)
	if s.PG.Epoch > wk.Truth || wk.Refused && rd != nil && rd.Epoch == s.PG.Epoch {
		wk.Truth = s.PG.Epoch
	}
	wk.Told, wk.Silent = true, 0
	s.PG.Beats[w] = Beat{Epoch: wk.Joined}
}
