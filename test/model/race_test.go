//go:build race

package model

// race: a search under the race detector takes ten times as long, and shares nothing.
const race = true
