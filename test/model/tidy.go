package model

// names is how the parts of a state were renamed by tidy: old number to new.
type names struct {
	relays  [relays]int8
	workers [workers]int8
	jobs    [jobs]int8
	ids     [ids + 1]int8
}

// tidy does what would come about by itself and changes nothing else, and then gives
// equal states equal names: epochs count from 1, relays, workers and jobs are sorted,
// dispatch ids are numbered as they are met. All four are only names: no rule compares
// them but for being equal, and epochs for their order and by adding one.
func (x *explorer) tidy(s *State) names {
	x.clear(s)
	s.shiftEpochs()
	n := names{relays: [relays]int8{0, 1}, workers: [workers]int8{0, 1}, jobs: [jobs]int8{0, 1}}
	if rankRelay(&s.Relays[0]) > rankRelay(&s.Relays[1]) && x.relays() == relays {
		s.Relays[0], s.Relays[1] = s.Relays[1], s.Relays[0]
		n.relays = [relays]int8{1, 0}
	}
	if rankWorker(&s.Workers[0]) > rankWorker(&s.Workers[1]) && x.workers() == workers {
		s.swapWorkers()
		n.workers = [workers]int8{1, 0}
	}
	if x.cfg.Jobs == jobs && rankJob(s, 0) > rankJob(s, 1) {
		s.swapJobs()
		n.jobs = [jobs]int8{1, 0}
	}
	n.ids = s.renumber()
	return n
}

// clear removes what has no effect any more.
func (x *explorer) clear(s *State) {
	for d := int8(1); d <= ids; d++ {
		row := &s.PG.Rows[d]
		if (row.Seq || row.Owner != 0) && s.PG.currentOf(d) == 0 {
			*row = Row{} // the sweep; a row without seq may still be rebuilt, wrongly
		}
		fresh, on := false, jobSet(0) // pushes under way
		for _, rl := range s.Relays {
			if rl.Doing == pushing {
				fresh = fresh || rl.Dispatch == d && rl.Age < due
				if rl.Envelope == d {
					on |= rl.Jobs
				}
			}
		}
		forget := !fresh && (row.Jobs == 0 || row.Seq || !x.on(noteOutlivesRecord))
		for _, rd := range []*Redis{&s.Redis, &s.Other} {
			if forget {
				rd.Noted[d] = false
			}
			for j := range jobs {
				if e := &rd.Entries[d][j]; e.Copies == 0 && e.Lease == 0 && !on.has(j) {
					e.Off = false
				}
			}
		}
	}
	old := false
	for r := range s.Relays {
		old = old || s.Relays[r].Link == toOld
	}
	for w := range s.Workers {
		wk := &s.Workers[w]
		old = old || wk.Link == toOld
		for j := range jobs {
			a := &wk.Attempts[j]
			if a.State != taken {
				a.Epoch = 0
			}
			if a.Lost {
				a.Age = 0
			}
		}
	}
	if s.OtherIs == oldMaster && !old {
		s.Other, s.OtherIs = Redis{}, nothing
	}
	if s.OtherIs == replica && s.Left.Failover+s.Left.Split == 0 {
		s.Other, s.OtherIs = Redis{}, nothing
	}
	if s.Left.Adopt == 0 {
		s.Past.Seen = [ids + 1]jobSet{}
	}
	used := references(s)
	for d := 1; d <= ids; d++ {
		if !used[d] {
			s.Past.Seen[d] = 0
			s.Past.Pushed[d], s.Past.Accepted[d], s.Past.Excused[d], s.Past.Phantom[d] = 0, 0, 0, false
		}
	}
	s.Past.Excused[0] = 0
}

// inPG returns the ids that Postgres knows.
func inPG(p *Postgres) (used [ids + 1]bool) {
	for j := range p.Jobs {
		used[p.Jobs[j].Dispatch] = true
	}
	for d := range p.Rows {
		used[d] = used[d] || p.Rows[d].Jobs != 0 || p.Cancels[d] != 0
	}
	return used
}

// references returns the ids that anything refers to.
func references(s *State) [ids + 1]bool {
	used := inPG(&s.PG)
	if s.HasTail {
		for d, u := range inPG(&s.Standby) {
			used[d] = used[d] || u
		}
	}
	for _, rd := range []*Redis{&s.Redis, &s.Other} {
		for d := range rd.Entries {
			used[d] = used[d] || rd.Noted[d] || rd.Entries[d] != [jobs]Entry{}
		}
		for _, r := range rd.Receipts {
			used[r.Dispatch] = true
		}
	}
	for i := range s.Relays {
		used[s.Relays[i].Dispatch], used[s.Relays[i].Envelope] = true, true
	}
	for i := range s.Workers {
		used[s.Workers[i].Claim] = true
		for j := range jobs {
			a := &s.Workers[i].Attempts[j]
			used[a.Dispatch], used[a.Envelope], used[a.Hold], used[a.Sent], used[a.Was] = true, true, true, true, true
		}
	}
	for d, again := range s.Past.Reissue {
		used[d] = used[d] || again
	}
	return used
}

// eachEpoch calls f with every epoch in s.
func (s *State) eachEpoch(f func(*int8)) {
	for _, p := range []*Postgres{&s.PG, &s.Standby} {
		f(&p.Epoch)
		for d := range p.Rows {
			f(&p.Rows[d].Epoch)
		}
		for w := range p.Beats {
			if p.Beats[w].Epoch != noRow {
				f(&p.Beats[w].Epoch)
			}
		}
	}
	f(&s.Redis.Epoch)
	f(&s.Other.Epoch)
	for r := range s.Relays {
		f(&s.Relays[r].Epoch)
	}
	for w := range s.Workers {
		wk := &s.Workers[w]
		f(&wk.Epoch)
		f(&wk.Joined)
		f(&wk.Truth)
		f(&wk.AskedIn)
		for j := range jobs {
			f(&wk.Attempts[j].Epoch)
		}
	}
}

func (s *State) shiftEpochs() {
	low := int8(127)
	s.eachEpoch(func(e *int8) {
		if *e != 0 && *e < low {
			low = *e
		}
	})
	if low == 1 {
		return
	}
	s.eachEpoch(func(e *int8) {
		if *e != 0 {
			*e -= low - 1
		}
	})
}

func rankRelay(r *Relay) uint64 {
	return pack(int8(r.Doing), int8(r.Jobs), int8(r.Counts), r.Epoch, r.Age, r.Contact, r.Steady, int8(r.Link))
}

func rankWorker(w *Worker) uint64 {
	h := pack(w.Epoch, w.Joined, w.Truth, flag(w.Refused), flag(w.Told), flag(w.Frozen), flag(w.CutPG), int8(w.Link))
	for j := range jobs {
		a := &w.Attempts[j]
		h = h*1099511628211 + pack(flag(a.Dispatch != 0), flag(a.Hold != 0), int8(a.State), int8(a.Place), a.Age, flag(a.Excused), flag(a.Lost), flag(a.Back), flag(a.Adopted))
	}
	return h*2 + uint64(flag(w.Asking))
}

func rankJob(s *State, j int) uint64 {
	h := pack(int8(s.PG.Jobs[j].Status), flag(s.PG.Jobs[j].Dispatch != 0))
	for w := range s.Workers {
		a := &s.Workers[w].Attempts[j]
		h = h*1099511628211 + pack(flag(a.Dispatch != 0), flag(a.Hold != 0), int8(a.State), int8(a.Place), a.Age)
	}
	return h
}

func flag(b bool) int8 {
	if b {
		return 1
	}
	return 0
}

func pack(fields ...int8) (h uint64) {
	for _, f := range fields {
		h = h<<6 + uint64(f)
	}
	return h
}

func (s *State) swapWorkers() {
	s.Workers[0], s.Workers[1] = s.Workers[1], s.Workers[0]
	for _, p := range []*Postgres{&s.PG, &s.Standby} {
		p.Beats[0], p.Beats[1] = p.Beats[1], p.Beats[0]
		for d := range p.Rows {
			if o := &p.Rows[d].Owner; *o != 0 {
				*o = workers + 1 - *o
			}
		}
	}
	for _, rd := range []*Redis{&s.Redis, &s.Other} {
		rd.Receipts[0], rd.Receipts[1] = rd.Receipts[1], rd.Receipts[0]
	}
}

func (b *jobSet) swap() { *b = *b&1<<1 | *b>>1&1 }

func (s *State) swapJobs() {
	for _, p := range []*Postgres{&s.PG, &s.Standby} {
		p.Jobs[0], p.Jobs[1] = p.Jobs[1], p.Jobs[0]
		for d := range p.Rows {
			p.Rows[d].Jobs.swap()
			p.Cancels[d].swap()
		}
	}
	for _, rd := range []*Redis{&s.Redis, &s.Other} {
		rd.OffJobs.swap()
		for d := range rd.Entries {
			rd.Entries[d][0], rd.Entries[d][1] = rd.Entries[d][1], rd.Entries[d][0]
		}
		for w := range rd.Receipts {
			if r := &rd.Receipts[w]; r.Dispatch != 0 {
				r.Job = 1 - r.Job
			}
		}
	}
	for r := range s.Relays {
		s.Relays[r].Jobs.swap()
		s.Relays[r].Counts.swap()
	}
	for w := range s.Workers {
		a := &s.Workers[w].Attempts
		a[0], a[1] = a[1], a[0]
	}
	for d := range s.Past.Pushed {
		s.Past.Pushed[d].swap()
		s.Past.Seen[d].swap()
		s.Past.Accepted[d].swap()
		s.Past.Excused[d].swap()
	}
}
