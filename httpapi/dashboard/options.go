package dashboard

import (
	"errors"
	"fmt"
	"log/slog"
)

// DefaultMaxStreams is how many pages are kept fresh at once unless [Options] say so.
const DefaultMaxStreams = 200

// Options is everything about a [Dashboard] that has a default. Its zero value lets
// everybody in as an admin.
type Options struct {
	// Door knows who has a key. nil: no key is needed, and everybody who gets here is an
	// admin.
	Door Door
	// SignOn lets people in without a key, where an issuer knows them; with a Door only. nil:
	// nobody.
	SignOn SignOn
	// URL is where people reach the dashboard, without a path: a login at the issuer that
	// was begun under another name goes there first, for it ends there.
	URL string
	// ReadOnly takes everything but looking from everybody.
	ReadOnly bool
	// Version is shown to people.
	Version string
	// Settings are shown to them too, in this order; there must be no secret in them.
	Settings []Setting
	// MaxStreams is how many pages are kept fresh at once; those beyond are not. 0
	// means [DefaultMaxStreams].
	MaxStreams int
	// Logger receives what went wrong and who changed what; nil means [slog.Default].
	Logger *slog.Logger
}

// Setting is a value of the configuration that people may see.
type Setting struct{ Name, Value string }

func (o Options) filled() (Options, error) {
	if o.MaxStreams == 0 {
		o.MaxStreams = DefaultMaxStreams
	}
	if o.MaxStreams < 0 {
		return o, fmt.Errorf("max streams is %d, must be positive", o.MaxStreams)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

func (p Ports) check() error {
	if p.Jobs == nil || p.House == nil || p.Live == nil || p.As == nil || p.Audit == nil || p.Storage == nil || p.Charts == nil || p.Operations == nil || p.Endpoints == nil {
		return errors.New("a port is missing")
	}
	return nil
}
