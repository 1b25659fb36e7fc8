package dashboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
)

// DefaultMaxStreams is how many pages are kept fresh at once unless [Options] say so.
const DefaultMaxStreams = 200

// Options is everything about a [Dashboard] that has a default. Its zero value lets
// everybody in as an admin.
type Options struct {
	// Login returns who a key belongs to; ok is false for an unknown one. It must take
	// the same time for every unknown key. nil: there are no keys, and everybody who
	// gets here is an admin.
	Login func(ctx context.Context, key string) (v Visitor, ok bool)
	// SessionKey signs the sessions: 32 secret bytes, the same in all processes behind
	// one name, and others once a key is withdrawn. nil: drawn anew, so that sessions
	// end with the process.
	SessionKey []byte
	// ReadOnly takes everything but looking from everybody.
	ReadOnly bool
	// Version is shown to people.
	Version string
	// MaxStreams is how many pages are kept fresh at once; those beyond are not. 0
	// means [DefaultMaxStreams].
	MaxStreams int
	// Logger receives what went wrong and who changed what; nil means [slog.Default].
	Logger *slog.Logger
}

func (o Options) filled() (Options, error) {
	if o.SessionKey == nil {
		o.SessionKey = make([]byte, 32)
		rand.Read(o.SessionKey) // never fails: crypto/rand ends the program instead
	}
	if len(o.SessionKey) != 32 {
		return o, fmt.Errorf("the session key has %d bytes, must have 32", len(o.SessionKey))
	}
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
	if p.Jobs == nil || p.House == nil || p.Live == nil || p.Operator == nil || p.Inserter == nil || p.Storage == nil {
		return errors.New("a port is missing")
	}
	return nil
}
