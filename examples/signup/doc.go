// Package signup is an application in Go: it inserts a user and their job in one
// transaction, some jobs once only, works them off, and tests all of it on real servers.
// docs/go.md tells of it.
package signup
