package model

// operator cancels a job and sends it again.
func (x *explorer) operator(s *State) {
	if s.PGAway {
		return
	}
	for j := range x.cfg.Jobs {
		job := s.PG.Jobs[j]
		if s.Left.Cancel > 0 && job.Status <= running {
			n := *s
			n.Left.Cancel--
			n.PG.Jobs[j] = Job{Status: cancelled}
			if job.Dispatch != 0 {
				n.PG.Cancels[job.Dispatch].add(j)
				n.Past.Excused[job.Dispatch].add(j)
				n.Past.Phantom[job.Dispatch] = true
			}
			for w := range n.Workers {
				n.Workers[w].Attempts[j].Excused = n.Workers[w].Attempts[j].Dispatch != 0 // its handler is told within a beat
			}
			x.step(outside, &n, "a person cancels {j}", who{j: int(one(j))})
		}
		if s.Left.Redrive > 0 && job.Status == cancelled {
			n := *s
			n.Left.Redrive--
			n.PG.Jobs[j] = Job{Status: queued}
			x.step(outside, &n, "a person redrives {j}", who{j: int(one(j))})
		}
	}
}

// carryCancels copies orders into Redis, where take drops such copies and beat tells
// whoever runs them.
func (x *explorer) carryCancels(s *State, r int) {
	rl := s.Relays[r]
	if rl.Doing != idle || s.PGAway || !x.accepts(s.redis(rl.Link), rl.Epoch) {
		return
	}
	n := *s
	rd := n.redis(rl.Link)
	for d := range n.PG.Cancels {
		for j := range jobs {
			if !n.PG.Cancels[d].has(j) {
				continue
			}
			rd.Entries[d][j].Off = true
			if !x.on(orderNamesAttempt) {
				rd.OffJobs.add(j)
			}
		}
		n.PG.Cancels[d] = 0
	}
	if n != *s {
		x.step(progress, &n, "relay {r} carries cancel orders to Redis", who{r: r})
	}
}
