package rookery

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/httpapi"
)

// OpenAPI returns the OpenAPI 3.1 document of the HTTP API with every route, as JSON.
func OpenAPI() ([]byte, error) { return httpapi.OpenAPI() }

// Commit is the commit of this build; a release sets it at link time. Else it is
// what go build has noted, if anything.
var Commit = ""

// Build says what a binary was made of.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // "" when nobody noted it
	Schema   int64  `json:"schema"`   // the migration that it needs
	Go       string `json:"go"`       // the compiler
	Platform string `json:"platform"` // operating system/processor
}

// ThisBuild describes the running binary.
func ThisBuild() Build {
	b := Build{Version: Version, Commit: Commit, Schema: db.NewestMigration(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = cmp.Or(b.Commit, s.Value)
			}
		}
	}
	return b
}
