// Package arch holds the rules of the house that the compiler and the linter cannot:
// who may import whom, how files and packages look, and that things which are
// written down twice say the same. It is tests only. Each rule stands in a table
// with its reason; whoever breaks one changes the code, or the table in a commit of
// its own that says why.
package arch
