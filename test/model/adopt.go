package model

// Adoption: a client comes, with an attempt that one worker has, to another, which
// becomes a holder of it too. Here a client beats at every worker that holds its attempt, until
// that one is frozen, cut off or killed, or it falls silent there; and it says how the
// attempt ended to any of them, or to both. What holds for "a prompt worker" holds for a client that has one
// prompt holder. (A server's shutdown is not modelled.)

// shares reports whether attempts may have two holders in this search.
func (x *explorer) shares() bool { return x.cfg.Faults.Adopt > 0 }

// adopting reports whether a is being adopted, and its client not told anything yet.
func (a *Attempt) adopting() bool { return a.Adopted && a.State == taken }

// seek: the client of an attempt asks w, which renews its lease in Redis, if it is there.
func (x *explorer) seek(s *State, w int) {
	wk := &s.Workers[w]
	rd := s.redis(wk.Link)
	if s.Left.Adopt == 0 || !x.mayTake(wk) || !x.accepts(rd, wk.Epoch) {
		return
	}
	for d := int8(1); d <= ids; d++ {
		for j := range jobs {
			e := rd.Entries[d][j]
			if !s.Past.Seen[d].has(j) || s.Past.Accepted[d].has(j) || wk.Attempts[j].Dispatch != 0 || wk.Claim != 0 || e.Off {
				continue
			}
			if e.Lease == 0 && x.on(adoptLeasedOnly) {
				continue
			}
			n := *s
			n.Left.Adopt--
			a := &n.Workers[w].Attempts[j]
			*a = Attempt{Dispatch: d, State: taken, Adopted: true, Excused: s.Past.Phantom[d]}
			if x.on(adoptRenewsFirst) {
				n.redis(wk.Link).Entries[d][j].Lease = 1
			} else if !s.postgres(w) || !s.PG.current(d, j) {
				continue
			}
			x.step(outside, &n, "the client of {j} under {d} comes to worker {w}", who{w: w, d: int(d), j: int(one(j))})
		}
	}
}

// confirm: then w asks Postgres whether the attempt is current, and tells the client.
func (x *explorer) confirm(s *State, w int) {
	for j := range jobs {
		a := s.Workers[w].Attempts[j]
		if !a.adopting() {
			continue
		}
		at := who{w: w, d: int(a.Dispatch), j: int(one(j))}
		n := *s
		to := &n.Workers[w].Attempts[j]
		wk := &s.Workers[w]
		ok := s.postgres(w) && s.PG.current(a.Dispatch, j)
		if !x.on(adoptRenewsFirst) {
			ok = x.accepts(s.redis(wk.Link), wk.Epoch) && s.redis(wk.Link).Entries[a.Dispatch][j].Lease != 0
			if ok {
				n.redis(wk.Link).Entries[a.Dispatch][j].Lease, to.Age = 1, 0
			}
		}
		if !ok || a.Age >= lease {
			*to = Attempt{}
			x.step(urgent, &n, "worker {w} cannot adopt {j} under {d}", at)
			continue
		}
		to.State = runs
		x.step(urgent, &n, "worker {w} adopts {j} under {d}", at)
	}
}

// check: with each beat a worker asks Postgres which of the attempts that others may
// have too are current. Another holder may have moved one to Postgres, where Redis
// says nothing of it, or have put it back and died before its lease was given up.
func (x *explorer) check(s *State, w int) {
	if !x.shares() || !x.on(sharedVerified) || !s.postgres(w) {
		return
	}
	n := *s
	for j := range jobs {
		if a := &n.Workers[w].Attempts[j]; x.leased(a) && x.heard(a) && a.State == runs && !s.PG.current(a.Dispatch, j) {
			a.lose()
		}
	}
	if n != *s {
		x.step(urgent, &n, "worker {w} verifies what it may share", who{w: w})
	}
}

// silent: a client goes on at one of its holders and is not heard at the other, which
// leaves the attempt to its lease. What that holds in Postgres it has to put back: by then
// the first one knows that its own lease is worth nothing, if it could ask Postgres, and has
// sent the client there.
func (x *explorer) silent(s *State, w int) {
	if !x.shares() || x.workers() < workers {
		return
	}
	for j := range jobs {
		a, b := &s.Workers[w].Attempts[j], &s.Workers[1-w].Attempts[j]
		if a.Dispatch == 0 || a.State != runs || a.Lost || a.Hold != 0 {
			continue
		}
		said := s.said(a, j)
		at := who{w: w, d: int(a.Dispatch), j: int(one(j))}
		n := *s
		to := &n.Workers[w].Attempts[j]
		switch {
		case a.Place == inRedis && said:
			*to = Attempt{}
			x.step(progress, &n, "worker {w} hears no more of {j} under {d}, which has its outcome", at)
		case a.Place == inRedis && b.works() && b.known() == a.known():
			*to = Attempt{}
			x.step(outside, &n, "worker {w} hears no more of {j} under {d}", at)
		case a.Place == inPostgres && b.works() && b.known() == a.known() && (!x.on(heldOutlives) || !s.postgres(1-w)):
			to.State, to.Back, to.Own = finished, true, true
			x.step(outside, &n, "worker {w} hears no more of {j}, which it holds as {d}, and puts it back", at)
		}
	}
}

// endsItself is what becomes of an attempt that its worker has not renewed for 13 s: its
// handler puts the job back, if the attempt is still current. Where another may hold
// it, it says nothing, unless it is held, or asked to be, in Postgres.
func (a *Attempt) endsItself(x *explorer) {
	if a.State == taken || x.shares() && x.on(ownNotWritten) && a.Place == inRedis && a.Hold == 0 {
		*a = Attempt{}
		return
	}
	a.State, a.Back, a.Lost, a.Own = finished, true, true, x.shares()
}

// known is the dispatch by which a's client knows it.
func (a *Attempt) known() int8 {
	if a.Was != 0 {
		return a.Was
	}
	return a.Dispatch
}

// said reports whether a's client has said, here or there, how the attempt ended.
func (s *State) said(a *Attempt, j int) bool { return s.Past.Accepted[a.known()].has(j) }

// accepted notes that the outcome of a was. One that no client has asked for must not be
// while the client has another holder.
func (s *State) accepted(a Attempt, j int) {
	if !a.Own {
		s.Past.Accepted[a.Sent].add(j)
		s.Past.Accepted[a.known()].add(j)
		return
	}
	for w := range s.Workers {
		if b := &s.Workers[w].Attempts[j]; b.works() && !b.Excused && !b.Lost {
			s.Violated = takenFromPrompt
		}
	}
}

// seen notes that j was handed to a client under d.
func (s *State) seen(d int8, j int) {
	if s.Left.Adopt > 0 {
		s.Past.Seen[d].add(j)
	}
}
