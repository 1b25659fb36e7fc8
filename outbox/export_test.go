package outbox

import (
	"maps"
	"slices"
)

// LimitNames lists the CHECKs that limits knows, for the tests outside.
func LimitNames() []string { return slices.Collect(maps.Keys(limits())) }
