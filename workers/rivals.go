package workers

// rivals remembers whether other workers empty a queue before this one asks it again. To
// ask again at once is right for a worker that is alone: it saves waiting for the bell.
// Of several who do so most come too late, each for the price of a take. What one leaves
// is not forgotten: its take has rung the bell for it.
type rivals struct {
	again bool // the last take left jobs, and the next is to get them
	skip  int  // so many takes leave what is left to the bell
}

// rivalTakes is how many takes leave the rest to the bell after one that came too late.
const rivalTakes = 16

// took notes how many jobs a take brought and whether it left some, and reports whether
// to ask again at once.
func (r *rivals) took(n int, left bool) (again bool) {
	switch {
	case r.again && n == 0:
		r.skip = rivalTakes
	case r.skip > 0:
		r.skip--
	}
	r.again = left && r.skip == 0
	return r.again
}
