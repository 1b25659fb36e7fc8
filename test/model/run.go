package model

// start begins a handler, or marks as running a job whose handler runs on.
func (x *explorer) start(s *State, w int) {
	for j := range jobs {
		a := s.Workers[w].Attempts[j]
		if a.Dispatch == 0 || a.adopting() {
			continue
		}
		at := who{w: w, d: int(a.Dispatch), j: int(one(j))}
		n := *s
		to := &n.Workers[w].Attempts[j]
		switch {
		case a.State == taken && a.Age >= lease && x.on(beginChecksLease):
			*to = Attempt{}
			x.step(progress, &n, "worker {w} does not begin {j} under {d}: too long without renewal", at)
		case a.State == taken:
			to.State, to.Envelope = runs, 0
			n.seen(a.Dispatch, j)
			x.step(progress, &n, "worker {w} begins {j} under {d}", at)
		case x.cfg.Starts && a.State == runs && s.postgres(w) && s.PG.current(a.Dispatch, j) && s.PG.Jobs[j].Status == dispatched:
			n.PG.Jobs[j].Status = running
			x.step(progress, &n, "worker {w} marks {j} under {d} as running", at)
		}
	}
}

// finish: the handler returns. Its outcome goes into the writer's hands, unless
// nobody knows which token the attempt has.
func (x *explorer) finish(s *State, w int) {
	for j := range jobs {
		a := s.Workers[w].Attempts[j]
		if a.Dispatch == 0 || a.State != runs {
			continue
		}
		x.finished(s, w, j, false)
		if s.Left.Fail > 0 {
			m := *s
			m.Left.Fail--
			x.finished(&m, w, j, true)
		}
		if !x.on(finalReplacesStart) && s.postgres(w) && s.PG.current(a.Dispatch, j) {
			m := *s
			m.PG.Jobs[j].Status = running
			m.conclude(x, w, j, true)
			x.step(progress, &m, "worker {w} writes start and complete of {j} under {d} together, the start stays", who{w: w, d: int(a.Dispatch), j: int(one(j))})
		}
	}
}

func (x *explorer) finished(s *State, w, j int, fails bool) {
	n := *s
	a := &n.Workers[w].Attempts[j]
	at := who{w: w, d: int(a.Dispatch), j: int(one(j))}
	if !x.on(postgresFirst) && a.Place == inRedis {
		n.ack(x, w, j)
	}
	a.Back = fails
	a.hand(x)
	text := "worker {w} finishes {j} under {d}"
	if fails {
		text = "worker {w} fails {j} under {d}"
	}
	if x.cfg.Writes || !s.postgres(w) || a.State != sending {
		x.step(progress, &n, text, at)
		return
	}
	x.judged(&n, w, j, progress, text+"; ")
}

// hand puts a's outcome into the writer's hands, under the token it has now.
func (a *Attempt) hand(x *explorer) {
	if a.Hold != 0 && x.on(writerWaits) {
		a.State = finished
		return
	}
	a.State, a.Sent = sending, a.Dispatch
}

// write is reconcile: Postgres judges an outcome by its dispatch. Without an answer
// it goes back to the buffer and is sent again.
func (x *explorer) write(s *State, w int) {
	for j := range jobs {
		a := s.Workers[w].Attempts[j]
		if a.Dispatch == 0 {
			continue
		}
		n := *s
		to := &n.Workers[w].Attempts[j]
		switch {
		case a.State == finished && (a.Hold == 0 || !x.on(writerWaits)) && s.postgres(w):
			to.hand(x)
			x.step(urgent, &n, "worker {w} hands the outcome of {j} under {d} to its writer", who{w: w, d: int(a.Dispatch), j: int(one(j))})
		case a.State == sending && !s.postgres(w):
			to.State, to.Sent = finished, 0
			x.step(progress, &n, "worker {w} has no verdict on {j} under {d}", who{w: w, d: int(a.Sent), j: int(one(j))})
		case a.State == sending:
			x.judged(&n, w, j, urgent, "")
		}
	}
}

// judged is Postgres' verdict, and then the ack: first Postgres, then Redis. A crash
// between the two leaves a lease of an attempt that is over.
func (x *explorer) judged(n *State, w, j int, kind edge, text string) {
	a := n.Workers[w].Attempts[j]
	at := who{w: w, d: int(a.Sent), j: int(one(j))}
	verdict := "is refused"
	if n.reconcile(x, a, j) {
		verdict = "is accepted"
	}
	text += "the outcome of {j} under {d} from worker {w} " + verdict
	if n.Left.LoseWrite > 0 {
		m := *n
		m.Left.LoseWrite--
		m.Workers[w].Attempts[j].State, m.Workers[w].Attempts[j].Sent = finished, 0
		x.step(outside, &m, text+", the verdict is lost", at)
	}
	m := *n
	if m.conclude(x, w, j, true) {
		x.step(kind, &m, text+", acked", at)
	}
	n.conclude(x, w, j, false)
	x.step(kind, n, text, at)
}

// conclude forgets an attempt, and reports whether its lease was given up.
func (s *State) conclude(x *explorer, w, j int, ack bool) (acked bool) {
	if ack {
		acked = s.ack(x, w, j)
	}
	s.Workers[w].Attempts[j] = Attempt{}
	return acked
}

func (s *State) ack(x *explorer, w, j int) bool {
	wk := &s.Workers[w]
	a := &wk.Attempts[j]
	rd := s.redis(wk.Link)
	if a.Place != inRedis || !x.accepts(rd, wk.Epoch) || rd.Entries[a.Dispatch][j].Lease == 0 {
		return false
	}
	rd.Entries[a.Dispatch][j].Lease, rd.Entries[a.Dispatch][j].Off = 0, false
	return true
}

// reconcile applies a's outcome if its dispatch is current.
func (s *State) reconcile(x *explorer, a Attempt, j int) bool {
	job := &s.PG.Jobs[j]
	out := job.Status == dispatched || job.Status == running
	if !s.PG.current(a.Sent, j) && (x.on(outcomeFenced) || !out) {
		return false
	}
	if s.Past.Accepted[a.Sent].has(j) {
		s.Violated = acceptedTwice
	}
	if !s.PG.current(a.Sent, j) {
		s.Violated = staleAccepted
	}
	s.accepted(a, j)
	*job = Job{Status: completed}
	if a.Back {
		job.Status = queued
	}
	return true
}
