package job

import "time"

// Caller is a worker over HTTP, as a request shows it. Who has a key may call itself as it
// likes: it is for people.
type Caller struct {
	WorkerID  string // what it calls itself
	Principal string // whose key it has
	Address   string // an IP address, or ""
}

// Client is what a server knows of a worker over HTTP that it has leased jobs to, or that
// asked for some.
type Client struct {
	Caller
	Silent  time.Duration // since it was last heard
	Queues  []string      // up to 20 that it asked for, and every one of Running
	Running []Ref         // up to 100 of the attempts it has
}

// RoleClient is the role of a worker over HTTP in [ProcessState].
const RoleClient = "client"

// MaxRunningShown is how many attempts of a process or client are shown.
const MaxRunningShown = 100
