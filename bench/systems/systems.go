// Package systems holds the job queues under test that are written in Go, one file
// each, set up as their authors recommend, and two that are no queues: floor, the
// least that any way through Postgres and Redis must do, and plain, an ordinary table
// to insert into.
//
// A system owns its connections and its schema. What it is asked to do, and when, is
// package actor's.
package systems

import (
	"fmt"
	"runtime/debug"

	"github.com/penguinmails/rookery/bench/actor"
)

// byName are all systems; they hold no state.
var byName = []struct {
	name string
	make func() actor.System
}{
	{"rookery", func() actor.System { return &rookerySystem{insert: insertByLibrary, how: byLibrary} }},
	{"rookery-sql", func() actor.System { return &rookerySystem{insert: insertBySQL, how: bySQL} }},
	{"river", func() actor.System { return &riverSystem{riverDefaults} }},
	{"river-bench", func() actor.System { return &riverSystem{riverBench} }},
	{"asynq", func() actor.System { return asynqSystem{} }},
	{"floor", func() actor.System { return floorSystem{} }},
	{"plain", func() actor.System { return plainSystem{} }},
}

// New returns the system of that name.
func New(name string) (actor.System, error) {
	for _, s := range byName {
		if s.name == name {
			return s.make(), nil
		}
	}
	return nil, fmt.Errorf("no system %q, there are %v and those of node/", name, Names())
}

// Names lists the systems.
func Names() []string {
	names := make([]string, len(byName))
	for i, s := range byName {
		names[i] = s.name
	}
	return names
}

// version returns the version of a module as it was built in, such as "v0.51.1".
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown version"
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return "of unknown version"
}
