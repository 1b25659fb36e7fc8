package redisq

import (
	"context"
	"errors"
	"fmt"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// passing are the beginnings of Redis' replies that a later call may not get:
// https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors and
// the shared objects in Redis' server.c.
var passing = []string{
	"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY", "MISCONF",
	"NOREPLICAS", "UNBLOCKED", "MOVED", "ASK", "max number of clients",
}

// translate turns what go-redis returned into the words of package job. A
// cancelled context stays what it is; everything else that is no reply of Redis',
// a deadline that has passed included, came from the network.
func translate(err error) error {
	var reply redis.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, redis.ErrClosed):
		return err
	case errors.Is(err, redis.Nil):
		return err
	case !errors.As(err, &reply):
		return fmt.Errorf("%w: %w", job.ErrUnavailable, err)
	case redis.IsOOMError(err):
		return fmt.Errorf("%w: %w", job.ErrFull, err)
	}
	for _, prefix := range passing {
		if redis.HasErrorPrefix(err, prefix) {
			return fmt.Errorf("%w: %w", job.ErrUnavailable, err)
		}
	}
	return err
}

// refusal turns a script's first word into a named error, nil for OK and DUP.
func refusal(r reply) error {
	switch code := r.text(0); code {
	case "OK", "DUP":
		return nil
	case "STALE":
		return &job.StaleError{Epoch: r.number(1)}
	case "BEHIND":
		return job.ErrBehind
	case "LATE":
		return job.ErrLate
	case "FULL":
		return job.ErrSpoolFull
	case "REUSED":
		return job.ErrKeyReused
	default:
		return fmt.Errorf("unknown answer %q", code)
	}
}
