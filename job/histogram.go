package job

import "time"

// histogramBounds are the upper bounds of a Histogram's buckets; what took longer than the
// last has a bucket of its own. Stored figures mean nothing under other bounds: a
// change needs another column.
var histogramBounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 5 * time.Minute, 30 * time.Minute,
}

// HistogramSize is how many buckets a [Histogram] has.
const HistogramSize = len(histogramBounds) + 1

// Histogram counts durations by size, so that those of many processes can be added up.
// The zero value is empty.
type Histogram [HistogramSize]int64

// Add counts one duration; a negative one, of two clocks that disagree, as none.
func (s *Histogram) Add(d time.Duration) {
	for i, bound := range histogramBounds {
		if d <= bound {
			s[i]++
			return
		}
	}
	s[HistogramSize-1]++
}

// Count returns how many durations were added.
func (s *Histogram) Count() (n int64) {
	for _, in := range s {
		n += in
	}
	return n
}

// Quantile returns the duration below which a share of q (0 to 1) lies, taking those
// of one bucket to be evenly apart, as Prometheus does. It returns 0 when s is empty,
// and the last bound when the answer lies beyond it.
func (s *Histogram) Quantile(q float64) time.Duration {
	n := s.Count()
	if n == 0 {
		return 0
	}
	rank, below := q*float64(n), 0.0
	for i, in := range s {
		if below+float64(in) < rank || in == 0 {
			below += float64(in)
			continue
		}
		if i == len(histogramBounds) {
			break
		}
		var from time.Duration
		if i > 0 {
			from = histogramBounds[i-1]
		}
		return from + time.Duration(float64(histogramBounds[i]-from)*(rank-below)/float64(in))
	}
	return histogramBounds[len(histogramBounds)-1]
}
