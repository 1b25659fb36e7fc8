package dashboard

import (
	"crypto/sha256"
	"errors"
	"net/http"

	"github.com/penguinmails/rookery/job"
)

// Door knows who has a key, and how many strangers have tried.
type Door interface {
	// Enter returns who has a key. [job.ErrNotFound]: nobody, which takes the same time
	// for every unknown key; [ErrTooOften] refuses to look; [job.ErrUnavailable]: nobody
	// knows for now.
	Enter(r *http.Request, key string) (Guest, error)
	// Again returns what the guest with a name may at this moment; [job.ErrNotFound] soon
	// after the key has ended. The other errors are those of Enter.
	Again(r *http.Request, name string) (Guest, error)
	// Try returns [ErrTooOften] when too many strangers came from this address of late.
	Try(r *http.Request) error
	// Strange notes that a stranger came, by another way than with a key.
	Strange(r *http.Request)
}

// ErrTooOften: too many unknown keys, or other strangers, came from this address of late.
var ErrTooOften = errors.New("too many unknown keys came from this address")

// Guest is who has a key.
type Guest struct {
	Name   string // as the audit has them
	Scopes []job.Scope
	Queues []string          // the queues that the key is for; none: all
	Seal   [sha256.Size]byte // signs the sessions: secret, the same in every process, gone with the key
}
