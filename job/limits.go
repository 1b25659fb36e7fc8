package job

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Limits and defaults. Postgres enforces the same ones with CHECKs, so a job that
// was inserted by plain SQL keeps them too; a test compares the two.
const (
	DefaultQueue       = "default"
	DefaultPriority    = 100
	MaxPriority        = 1000
	DefaultMaxAttempts = 25
	MaxMaxAttempts     = 1000
	MaxQueueName       = 100     // bytes; see [CheckQueueName]
	MaxKind            = 200     // characters
	MaxPayload         = 262_144 // bytes of the payload as Postgres prints it
	MaxHeaders         = 8_192   // bytes of the headers as Postgres prints them
	MaxNesting         = 1_000   // arrays and objects inside one another; checked at the doors only: encoding/json gives up at 10,000
	MaxErrorText       = 8_192   // bytes of an error that are kept
	MaxLost            = 3       // lost_count at which a job runs alone; lost once more it is dead
	MaxDelay           = 365 * 24 * time.Hour
	DefaultWindow      = 10_000    // undelivered jobs of one queue in Redis
	MaxWindow          = 1_000_000 // the most that an operator can set
	MaxBatch           = 500       // jobs of one ledger row, and of one script call
	MaxBatchBytes      = 1_000_000 // payload and headers of one ledger row; a single larger job travels alone
)

// Lease is how long a worker may be silent before its attempts are handed out
// again, and Beat how often it speaks. Relays and workers must agree on Lease.
const (
	Lease = 15 * time.Second
	Beat  = 5 * time.Second
)

// LastRunAt is the first moment that is too late for a run_at.
func LastRunAt() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// CheckQueueName returns a [*FieldError] unless name is 1 to 100 of the letters,
// digits and characters "_.:-". Braces are refused because the name is a hash tag
// in Redis, and a slash because it is a path segment over HTTP.
func CheckQueueName(name string) error {
	if name == "" || len(name) > MaxQueueName {
		return &FieldError{Field: "queue_name", Problem: fmt.Sprintf("has %d characters, must have 1 to %d", len(name), MaxQueueName)}
	}
	for i, c := range name {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == ':' || c == '-'
		if !ok {
			return &FieldError{Field: "queue_name", Problem: fmt.Sprintf("has %q at byte %d, may only have letters, digits and _ . : -", c, i)}
		}
	}
	return nil
}

// CheckKind returns a [*FieldError] when kind is longer than 200 characters or is
// not text that Postgres can store.
func CheckKind(kind string) error {
	if !storable(kind) {
		return &FieldError{Field: "kind", Problem: "is not valid UTF-8 without NUL"}
	}
	if n := utf8.RuneCountInString(kind); n > MaxKind {
		return &FieldError{Field: "kind", Problem: fmt.Sprintf("has %d characters, must have at most %d", n, MaxKind)}
	}
	return nil
}

// CheckPriority returns a [*FieldError] unless priority is 0 to 1000.
func CheckPriority(priority int) error {
	if priority < 0 || priority > MaxPriority {
		return &FieldError{Field: "priority", Problem: fmt.Sprintf("is %d, must be 0 to %d", priority, MaxPriority)}
	}
	return nil
}

// CheckMaxAttempts returns a [*FieldError] unless n is 1 to 1000.
func CheckMaxAttempts(n int) error {
	if n < 1 || n > MaxMaxAttempts {
		return &FieldError{Field: "max_attempts", Problem: fmt.Sprintf("is %d, must be 1 to %d", n, MaxMaxAttempts)}
	}
	return nil
}

// CheckRunAt returns a [*FieldError] when t is not between the years 1970 and 9999.
func CheckRunAt(t time.Time) error {
	if t.Before(time.Unix(0, 0)) || !t.Before(LastRunAt()) {
		return &FieldError{Field: "run_at", Problem: "must lie between the years 1970 and 9999"}
	}
	return nil
}

// CheckPayload returns a [*FieldError] when n bytes are more than a payload may have.
func CheckPayload(n int) error {
	if n > MaxPayload {
		return &FieldError{Field: "payload", Problem: fmt.Sprintf("has %d bytes, must have at most %d", n, MaxPayload)}
	}
	return nil
}

// ClampDelay returns d brought into 0 … 1 year, and rounded up to a millisecond.
func ClampDelay(d time.Duration) time.Duration {
	d = min(max(d, 0), MaxDelay)
	return (d + time.Millisecond - 1) / time.Millisecond * time.Millisecond
}
