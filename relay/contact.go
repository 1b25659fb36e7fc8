package relay

import "time"

// contact measures how long Redis has been answering promptly, and its clock going
// steadily. Only after one lease of that may a lease be called ended: a Redis that
// stood still, or whose clock was set, would otherwise cost every live worker its
// attempts.
type contact struct {
	since  time.Time
	last   time.Time
	offset time.Duration // Redis' clock minus ours
}

const (
	contactReply = 2 * time.Second // a later reply breaks the contact
	contactGap   = 5 * time.Second // so does not asking for so long
	contactJump  = time.Second
)

// clockBase makes Redis' wall clock comparable with our monotonic one. It is only
// ever used in differences.
var clockBase = time.Now()

func (c *contact) heard(sent, now time.Time, clock int64) {
	offset := time.Duration(clock)*time.Millisecond - now.Sub(clockBase)
	jump := (offset - c.offset).Abs()
	if c.since.IsZero() || now.Sub(sent) > contactReply || now.Sub(c.last) > contactGap || jump > contactJump {
		c.since = now
	}
	c.last, c.offset = now, offset
}

func (c *contact) broken() { c.since = time.Time{} }

// unbroken reports whether there has been contact for d.
func (c *contact) unbroken(now time.Time, d time.Duration) bool {
	return !c.since.IsZero() && now.Sub(c.last) <= contactGap && now.Sub(c.since) >= d
}
