package job

// Band is one of the three lists of a queue in Redis. Bands are strict: nothing
// is taken from a lower one while a higher one has a job.
type Band int

// The bands, the most urgent first.
const (
	High   Band = iota // priority 0 to 50
	Normal             // priority 51 to 150
	Low                // priority 151 to 1000
)

// The priorities at which a band ends.
const (
	HighMax   = 50
	NormalMax = 150
)

// BandOf returns the band of a priority; lower numbers are more urgent.
func BandOf(priority int16) Band {
	switch {
	case priority <= HighMax:
		return High
	case priority <= NormalMax:
		return Normal
	default:
		return Low
	}
}
