// Package tutorial runs docs/tutorial.md as a new user would: on a copy of what git
// knows, in one shell, from the first line to the last. What a page shows as output is
// what must come out, so the page cannot fall behind the program.
package tutorial
