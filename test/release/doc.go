// Package release builds what scripts/release builds, for this platform, and looks
// whether it is what docs/deploy.md says: one static binary that knows its version, in
// an archive whose bytes depend on the commit alone.
package release
