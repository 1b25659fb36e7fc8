//go:build !unix

package main

import "context"

// onQuiet does nothing: there is no SIGTSTP.
func onQuiet(func()) func(context.Context) error {
	return func(context.Context) error { return nil }
}
