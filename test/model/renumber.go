package model

// renumber gives the dispatch ids new numbers, in the order in which they are met.
func (s *State) renumber() (to [ids + 1]int8) {
	next := int8(1)
	meet := func(d int8) {
		if d != 0 && to[d] == 0 {
			to[d] = next
			next++
		}
	}
	for j := range s.PG.Jobs {
		meet(s.PG.Jobs[j].Dispatch)
	}
	for r := range s.Relays {
		meet(s.Relays[r].Dispatch)
		meet(s.Relays[r].Envelope)
	}
	for w := range s.Workers {
		for j := range jobs {
			a := &s.Workers[w].Attempts[j]
			meet(a.Dispatch)
			meet(a.Hold)
			meet(a.Sent)
			meet(a.Envelope)
			meet(a.Was)
		}
		meet(s.Workers[w].Claim)
	}
	used := references(s)
	for d := int8(1); d <= ids; d++ {
		if used[d] {
			meet(d)
		}
	}
	same := true
	for d := int8(1); d <= ids; d++ {
		meet(d)
		same = same && to[d] == d
	}
	if !same {
		s.rename(&to)
	}
	return to
}

func (s *State) rename(to *[ids + 1]int8) {
	was := *s
	for _, p := range [][2]*Postgres{{&s.PG, &was.PG}, {&s.Standby, &was.Standby}} {
		for j := range p[0].Jobs {
			p[0].Jobs[j].Dispatch = to[p[1].Jobs[j].Dispatch]
		}
		for d := range p[0].Rows {
			p[0].Rows[to[d]], p[0].Cancels[to[d]] = p[1].Rows[d], p[1].Cancels[d]
		}
	}
	for _, rd := range [][2]*Redis{{&s.Redis, &was.Redis}, {&s.Other, &was.Other}} {
		for d := range rd[0].Entries {
			rd[0].Entries[to[d]], rd[0].Noted[to[d]] = rd[1].Entries[d], rd[1].Noted[d]
		}
		for w := range rd[0].Receipts {
			rd[0].Receipts[w].Dispatch = to[rd[1].Receipts[w].Dispatch]
		}
	}
	for r := range s.Relays {
		rl := &s.Relays[r]
		rl.Dispatch, rl.Envelope = to[rl.Dispatch], to[rl.Envelope]
	}
	for w := range s.Workers {
		s.Workers[w].Claim = to[s.Workers[w].Claim]
		for j := range jobs {
			a := &s.Workers[w].Attempts[j]
			a.Dispatch, a.Hold, a.Sent, a.Envelope, a.Was = to[a.Dispatch], to[a.Hold], to[a.Sent], to[a.Envelope], to[a.Was]
		}
	}
	for d := range to {
		s.Past.Pushed[to[d]], s.Past.Accepted[to[d]] = was.Past.Pushed[d], was.Past.Accepted[d]
		s.Past.Excused[to[d]], s.Past.Reissue[to[d]] = was.Past.Excused[d], was.Past.Reissue[d]
		s.Past.Phantom[to[d]], s.Past.Seen[to[d]] = was.Past.Phantom[d], was.Past.Seen[d]
	}
}
