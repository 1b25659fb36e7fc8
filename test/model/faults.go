package model

// relayFaults: killed at every step, cut off. A relay need not be frozen: time may
// pass between any two of its steps.
func (x *explorer) relayFaults(s *State, r int) {
	rl := s.Relays[r]
	if s.Left.KillRelay > 0 && rl.Doing != idle {
		n := *s
		n.Left.KillRelay--
		n.Relays[r] = Relay{Link: rl.Link}
		x.step(outside, &n, "relay {r} is killed and starts again", who{r: r})
	}
	if x.relays() == 1 {
		return // a lone relay that reaches no Redis moves nothing
	}
	x.cutLink(s, outside, func(n *State) *link { return &n.Relays[r].Link }, "relay {r} is cut off from Redis", "relay {r} reaches Redis again", who{r: r})
}

func (x *explorer) workerFaults(s *State, w int) {
	wk := &s.Workers[w]
	at := who{w: w}
	if wk.Frozen {
		n := *s
		n.Workers[w].Frozen = false
		x.step(x.healing(s, w), &n, "worker {w} thaws", at)
		return
	}
	busy := wk.Asking || wk.Claim != 0
	for j := range jobs {
		busy = busy || wk.Attempts[j].Dispatch != 0
	}
	if s.Left.KillWorker > 0 {
		n := *s
		n.Left.KillWorker--
		n.excuse(w)
		n.Workers[w] = Worker{Link: wk.Link, CutPG: wk.CutPG}
		n.PG.Beats[w] = Beat{Age: lease, Epoch: noRow}
		n.Redis.Receipts[w], n.Other.Receipts[w] = Receipt{}, Receipt{}
		x.step(outside, &n, "worker {w} is killed and starts again", at)
	}
	if s.Left.Freeze > 0 && busy {
		n := *s
		n.Left.Freeze--
		n.excuse(w)
		n.Workers[w].Frozen = true
		x.step(outside, &n, "worker {w} freezes", at)
	}
	x.cutLink(s, x.healing(s, w), func(n *State) *link { return &n.Workers[w].Link }, "worker {w} is cut off from Redis", "worker {w} reaches Redis again", at)
	if s.Left.CutPostgres > 0 && !wk.CutPG {
		n := *s
		n.Left.CutPostgres--
		n.Workers[w].CutPG = true
		x.step(outside, &n, "worker {w} is cut off from Postgres", at)
	}
	if wk.CutPG { // while it lasts its outcomes wait, and so do their jobs
		n := *s
		n.Workers[w].CutPG = false
		x.step(progress, &n, "worker {w} reaches Postgres again", at)
	}
}

func (x *explorer) cutLink(s *State, heal edge, of func(*State) *link, cutText, healText string, at who) {
	n := *s
	l := of(&n)
	switch {
	case *l != linked:
		*l = linked
		x.step(heal, &n, healText, at)
	case s.Left.CutRedis > 0:
		n.Left.CutRedis--
		*l = cut
		x.step(outside, &n, cutText, at)
	}
}

// excuse notes that what w holds, or was given, may be run again through no fault of
// the protocol's.
func (s *State) excuse(w int) {
	wk := &s.Workers[w]
	for j := range jobs {
		a := &wk.Attempts[j]
		if a.Dispatch == 0 {
			continue
		}
		a.Excused = true
		s.Past.Excused[a.Dispatch].add(j)
		s.Past.Excused[a.Hold].add(j)
	}
	if wk.Claim != 0 {
		s.Past.Excused[wk.Claim] = 1<<jobs - 1
	}
	s.excuseReceipt(w)
}

// excuseReceipt: what w's unanswered take handed over is lost with its receipt.
func (s *State) excuseReceipt(w int) {
	for _, rd := range []*Redis{&s.Redis, &s.Other} {
		if got := rd.Receipts[w]; got.Dispatch != 0 {
			s.Past.Excused[got.Dispatch].add(int(got.Job))
		}
	}
}

// healing is no progress to depend on, unless the other worker needs healing too.
func (x *explorer) healing(s *State, w int) edge {
	if x.workers() == 1 {
		return progress
	}
	if other := &s.Workers[1-w]; other.Frozen || other.Link != linked {
		return progress
	}
	return outside
}

// faults are those of the two servers.
func (x *explorer) faults(s *State) {
	if s.Left.Flush > 0 {
		n := *s
		n.Left.Flush--
		n.Redis = Redis{}
		x.step(outside, &n, "FLUSHALL", who{})
	}
	x.failover(s)
	switch {
	case s.Away:
		n := *s
		n.Away = false
		x.step(outside, &n, "Redis is back, as it was", who{})
	case s.Left.Away > 0:
		n := *s
		n.Left.Away--
		n.Away = true
		x.step(outside, &n, "Redis goes away", who{})
	}
	if s.Left.RedisJump > 0 {
		n := *s
		n.Left.RedisJump--
		n.Redis.jump()
		for r := range n.Relays {
			n.Relays[r].Contact = 0
			if n.Relays[r].Doing != idle {
				n.Relays[r].Age = due // of Redis' clock, its deadlines have passed
			}
		}
		x.step(outside, &n, "Redis' clock jumps forward by a lease", who{})
	}
	x.postgresFaults(s)
}

func (rd *Redis) jump() {
	for d := range rd.Entries {
		for j := range rd.Entries[d] {
			if e := &rd.Entries[d][j]; e.Lease != 0 {
				e.Lease = lease + 1
			}
		}
	}
}

// failover: a replica stops following, and some time later it is the master, or an
// old copy is restored. Its meta.life is that of another process. In a split brain
// the old master goes on serving some of its clients.
func (x *explorer) failover(s *State) {
	if s.Left.Failover+s.Left.Split > 0 && s.OtherIs == nothing {
		n := *s
		n.Other, n.OtherIs = s.Redis, replica
		for w := range workers {
			n.excuseReceipt(w)
		}
		n.Other.Receipts = [workers]Receipt{} // they are not replicated
		x.step(outside, &n, "a replica stops following", who{})
	}
	if s.OtherIs != replica {
		return
	}
	n := *s
	n.Redis, n.Other, n.OtherIs = s.Other, Redis{}, nothing
	n.Redis.Ours = false
	if s.Left.Failover > 0 {
		m := n
		m.Left.Failover--
		x.step(outside, &m, "failover to the replica", who{})
	}
	if s.Left.Split == 0 {
		return
	}
	n.Left.Split--
	n.Other, n.OtherIs = s.Redis, oldMaster
	for w := range x.workers() {
		m := n
		m.Workers[w].Link = toOld
		x.step(outside, &m, "failover to the replica; worker {w} stays on the old master", who{w: w})
		for r := range x.relays() {
			if x.relays() == 1 {
				break
			}
			b := m
			b.Relays[r].Link = toOld
			x.step(outside, &b, "failover to the replica; worker {w} and relay {r} stay on the old master", who{w: w, r: r})
		}
	}
	for r := range x.relays() {
		if x.relays() == 1 {
			return
		}
		m := n
		m.Relays[r].Link = toOld
		x.step(outside, &m, "failover to the replica; relay {r} stays on the old master", who{r: r})
	}
}

func (x *explorer) postgresFaults(s *State) {
	n := *s
	switch {
	case s.PGAway:
		n.PGAway = false
		x.step(progress, &n, "Postgres answers again", who{})
	case s.Left.Stall > 0:
		n.Left.Stall--
		n.PGAway = true
		x.step(outside, &n, "Postgres stands still", who{})
	}
	if s.Left.PostgresJump > 0 {
		n := *s
		n.Left.PostgresJump--
		n.PG.jump()
		if x.on(clockBeforeBack) {
			for r := range n.Relays {
				n.Relays[r].Steady = 0
			}
		}
		x.step(outside, &n, "Postgres' clock jumps forward by a lease", who{})
	}
	if s.Left.Tail == 0 {
		return
	}
	n = *s
	if !s.HasTail {
		n.Standby, n.HasTail = s.PG, true
		x.step(outside, &n, "a standby stops following", who{})
		return
	}
	n.Left.Tail--
	n.PG, n.Standby, n.HasTail = s.Standby, Postgres{}, false
	n.PG.Ours = false
	for r := range n.Relays {
		n.Relays[r].Steady = 0
	}
	was, is := inPG(&s.PG), inPG(&n.PG)
	for d, used := range references(s) {
		n.Past.Phantom[d] = used && d != 0
	}
	for d := int8(1); d <= ids; d++ {
		n.Past.Accepted[d], n.Past.Excused[d] = 0, 1<<jobs-1
		n.Past.Reissue[d] = !x.on(fenceIsRandom) && was[d] && !is[d]
	}
	for w := range n.Workers {
		n.excuse(w)
	}
	x.step(outside, &n, "Postgres fails over to the standby, its tail is lost", who{})
}

func (p *Postgres) jump() {
	for d := range p.Rows {
		if p.Rows[d].Owner != 0 {
			p.Rows[d].Age = lease
		}
	}
	p.EpochAge, p.Absence = lease, lease
	for w := range p.Beats {
		p.Beats[w].Age = lease
	}
}
