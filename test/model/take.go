package model

// mayTake reports whether w has joined the newest epoch it knows of. Silent stays 0
// unless the scenario has the rule that ADR 7 refuses.
func (x *explorer) mayTake(w *Worker) bool {
	if !w.Told && x.on(takeAfterBeat) || w.Silent >= lease || w.Refused || w.Epoch != w.Truth {
		return false
	}
	return w.Joined == w.Truth || !x.on(joinBeforeTake)
}

// take pops one copy and leases it, in one step. What is leased, being taken back or
// called off is dropped.
func (x *explorer) take(s *State, w int) {
	wk := &s.Workers[w]
	rd := s.redis(wk.Link)
	if !x.mayTake(wk) || wk.Asking || rd == nil {
		return
	}
	if !x.accepts(rd, wk.Epoch) {
		x.stale(s, w, rd, progress, "take by worker {w} is STALE")
		return
	}
	for d := int8(1); d <= ids; d++ {
		for j := range jobs {
			e := rd.Entries[d][j]
			if e.Copies == 0 {
				continue
			}
			n := *s
			to := &n.redis(wk.Link).Entries[d][j]
			to.Copies--
			at := who{w: w, d: int(d), j: int(one(j))}
			if (e.Lease != 0 || e.Lost != notLost || e.Off) && x.on(takeDropsKnown) || rd.OffJobs.has(j) {
				x.step(progress, &n, "take by worker {w} drops a copy of {j} under {d}", at)
				continue
			}
			if wk.Attempts[j].Dispatch != 0 || wk.Claim != 0 && s.PG.Rows[wk.Claim].Jobs.has(j) {
				continue // the place is occupied: it still has, or waits for, another attempt of this job
			}
			to.Lease = 1
			if s.Left.LoseTake > 0 {
				m := n
				m.Left.LoseTake--
				if x.on(takeToken) {
					m.Workers[w].Asking, m.Workers[w].AskedIn = true, wk.Epoch
					m.redis(wk.Link).Receipts[w] = Receipt{Dispatch: d, Job: int8(j)}
				}
				x.step(outside, &m, "worker {w} takes {j} under {d}, the reply is lost", at)
			}
			n.Workers[w].Attempts[j] = x.attempt(d, wk.Epoch)
			n.Workers[w].Attempts[j].Excused = s.Past.Phantom[d]
			if !x.cfg.Begins {
				n.seen(d, j)
			}
			x.step(progress, &n, "worker {w} takes {j} under {d}", at)
		}
	}
}

func (x *explorer) attempt(d, epoch int8) Attempt {
	a := Attempt{Dispatch: d, State: runs, Epoch: epoch}
	if x.cfg.Begins {
		a.State, a.Envelope = taken, d
	}
	return a
}

// takeAgain repeats an unanswered take with its token: what it handed over is handed
// over again, as far as it is still leased.
func (x *explorer) takeAgain(s *State, w int) {
	wk := &s.Workers[w]
	rd := s.redis(wk.Link)
	if !wk.Asking || !x.mayTake(wk) || rd == nil {
		return
	}
	if !x.accepts(rd, wk.Epoch) {
		x.stale(s, w, rd, urgent, "take by worker {w}, repeated, is STALE")
		return
	}
	n := *s
	to := n.redis(wk.Link)
	got := to.Receipts[w]
	to.Receipts[w] = Receipt{}
	n.Workers[w].Asking, n.Workers[w].AskedIn = false, 0
	at := who{w: w, d: int(got.Dispatch), j: int(one(int(got.Job)))}
	if got.Dispatch == 0 || to.Entries[got.Dispatch][got.Job].Lease == 0 || wk.Attempts[got.Job].Dispatch != 0 {
		x.step(urgent, &n, "worker {w} repeats its take and gets nothing", at)
		return
	}
	to.Entries[got.Dispatch][got.Job].Lease = 1
	if wk.AskedIn != wk.Epoch && x.on(tokenVerified) {
		if !s.postgres(w) {
			return // asked again when Postgres answers
		}
		if !s.PG.current(got.Dispatch, int(got.Job)) {
			to.Entries[got.Dispatch][got.Job].Lease = 0
			x.step(urgent, &n, "worker {w} repeats its take, verifies {j} under {d}, and acks it", at)
			return
		}
	}
	n.Workers[w].Attempts[got.Job] = x.attempt(got.Dispatch, wk.AskedIn)
	n.Workers[w].Attempts[got.Job].Excused = s.Past.Phantom[got.Dispatch]
	if !x.cfg.Begins {
		n.seen(got.Dispatch, int(got.Job))
	}
	x.step(urgent, &n, "worker {w} repeats its take and gets {j} under {d}", at)
}

// stale notes that Redis holds another epoch or life. A token dies with it.
func (x *explorer) stale(s *State, w int, rd *Redis, kind edge, text string) {
	n := *s
	wk := &n.Workers[w]
	wk.Refused, wk.Asking, wk.AskedIn = true, false, 0
	n.excuseReceipt(w)
	wk.Truth = max(wk.Truth, rd.Epoch)
	if n != *s {
		x.step(kind, &n, text, who{w: w})
	}
}

// release gives back, at shutdown, what was taken and not begun: into the window it
// was taken from, and through Postgres otherwise.
func (x *explorer) release(s *State, w int) {
	wk := &s.Workers[w]
	if s.Left.Release == 0 {
		return
	}
	for j := range jobs {
		a := &wk.Attempts[j]
		if a.Dispatch == 0 || a.State != taken || a.Adopted {
			continue
		}
		n := *s
		n.Left.Release--
		at := who{w: w, d: int(a.Dispatch), j: int(one(j))}
		to := &n.Workers[w].Attempts[j]
		if (a.Epoch != wk.Epoch && x.on(releaseNamesEpoch)) || ((a.Place == inPostgres || a.Hold != 0) && x.on(heldNotReleased)) {
			to.State, to.Back, to.Envelope = finished, true, 0
			x.step(outside, &n, "worker {w} gives {j} under {d} back through Postgres", at)
			continue
		}
		epoch := a.Epoch
		if !x.on(releaseNamesEpoch) {
			epoch = wk.Epoch
		}
		d := a.Envelope
		n.Past.Excused[d].add(j) // a failover may bring its lease back
		*to = Attempt{}
		rd := n.redis(wk.Link)
		if x.accepts(rd, epoch) && (rd.Entries[d][j].Lease != 0 || !x.on(releaseRemovesOwn)) {
			rd.Entries[d][j].Lease = 0
			rd.Entries[d][j].Copies = min(rd.Entries[d][j].Copies+1, 2)
			x.step(outside, &n, "worker {w} releases {j} under {d}", at)
			continue
		}
		n.Past.Excused[a.Dispatch].add(j)
		x.step(outside, &n, "worker {w} leaves {j} under {d} to its lease", at)
	}
}
