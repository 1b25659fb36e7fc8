package httpapi

import (
	"fmt"
	"sync"
)

// How many exports of events are made at a time: each reads for up to [exportTime], and
// keeps its lines until the client has them.
const (
	maxExports      = 2 // of a server
	maxExportsOfKey = 1 // of a key, on a server
)

// exports are those under way, by whose they are. The zero value has none.
type exports struct {
	mu  sync.Mutex
	of  map[string]int
	all int
}

// begin lets an export of a key begin, or returns a problem; done ends it.
func (x *exports) begin(key string) (done func(), err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.of[key] >= maxExportsOfKey:
		return nil, tooMany(fmt.Sprintf("a key may make %d export at a time of a server", maxExportsOfKey), exportTime)
	case x.all >= maxExports:
		return nil, tooMany(fmt.Sprintf("this server makes %d exports at a time", maxExports), exportTime)
	}
	if x.of == nil {
		x.of = map[string]int{}
	}
	x.of[key]++
	x.all++
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.all--
		if x.of[key]--; x.of[key] == 0 {
			delete(x.of, key)
		}
	}, nil
}
