package workers

import (
	"strings"
	"testing"
)

// A worker's id stands in keys of Redis and in every statement of its outcomes.
func TestOptions_HostileID(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{
		"host-1-abc": true, "q}:leases{": true, "'; DROP TABLE outbox.jobs; --": true, "höst": true, strings.Repeat("x", maxID): true, "": true,
		strings.Repeat("x", maxID+1): false, "a\x00b": false, "a\nb": false, "\x1b[2J": false, "\xff": false, "a\u0085": false,
	} {
		o, err := Options{ID: id, Queues: []QueueWeight{{Name: "q"}}}.filled()
		if (err == nil) != ok {
			t.Errorf("filled(id %q) = %v, want it accepted: %t", id, err, ok)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x00\n\x1b") || o.ID == "" {
			t.Errorf("filled(id %q) = %q, %v, want one clean line", id, o.ID, err)
		}
	}
}
