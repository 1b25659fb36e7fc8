//go:build race

package e2e

// raced says that the tests run with the race detector; then so do the children.
const raced = true
