package rookery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/httpapi"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/job"
)

// Spool says whether the API keeps jobs in Redis while Postgres is away, and how
// many. Such jobs exist in Redis alone until Postgres is back, outside the
// guarantees G1 and G2. Every process with the same Redis should have the same
// limits: each applies its own to what all of them keep.
type Spool struct {
	On      bool
	Entries int64 // requests kept at most; 0 means 100,000
	Bytes   int64 // that they take at most; 0 means 64 MB
}

// spoolOf reads ROOKERY_SPOOL, ROOKERY_SPOOL_ENTRIES and ROOKERY_SPOOL_BYTES.
func spoolOf(read func(string) string) (Spool, error) {
	var s Spool
	var err error
	if text := read("ROOKERY_SPOOL"); text != "" {
		if s.On, err = strconv.ParseBool(text); err != nil {
			return s, fmt.Errorf("ROOKERY_SPOOL is %q, must be true or false", text)
		}
	}
	for name, limit := range map[string]*int64{"ROOKERY_SPOOL_ENTRIES": &s.Entries, "ROOKERY_SPOOL_BYTES": &s.Bytes} {
		if text := read(name); text != "" {
			if *limit, err = strconv.ParseInt(text, 10, 64); err != nil || *limit < 1 {
				return s, fmt.Errorf("%s is %q, must be a positive whole number", name, text)
			}
		}
	}
	return s, nil
}

// addSpool gives the API the spool, when it is on.
func (s *Service) addSpool(o *httpapi.Options) error {
	if !s.config.Spool.On {
		return nil
	}
	spool, err := s.redis.Spool(redisq.SpoolLimits{Entries: s.config.Spool.Entries, Bytes: s.config.Spool.Bytes})
	if err != nil {
		return err
	}
	o.Spool = spool
	for i := range o.Checks {
		if o.Checks[i].Name == "postgres" {
			o.Checks[i].Probe = spooling(s.store.Ping, spool.Room)
		}
	}
	return nil
}

// pingShare is Postgres' share of a probe's time: Redis is asked after it.
const pingShare = time.Second

// spooling makes a Postgres that is away a check that is degraded, while the spool
// has room.
func spooling(ping, room func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		pinging, cancel := context.WithTimeout(ctx, pingShare)
		defer cancel()
		err := ping(pinging)
		if err == nil {
			return nil
		}
		if full := room(ctx); full != nil {
			return errors.Join(err, full)
		}
		return &httpapi.DegradedError{Detail: "spooling: jobs are kept in Redis until Postgres answers", Err: err}
	}
}

// waitsTooLong is an age at which a request in the spool should long have been
// inserted, unless Postgres is away.
const waitsTooLong = time.Minute

// doctorSpool looks at what the spool holds. A Redis that does not answer is another
// finding.
func doctorSpool(ctx context.Context, url string) []Finding {
	client, err := redisq.Open(ctx, url)
	if err != nil {
		return nil
	}
	defer func() { _ = client.Close() }()
	spool, err := client.Spool(redisq.SpoolLimits{})
	if err != nil {
		return nil
	}
	s, err := spool.Stats(ctx)
	if err != nil {
		return nil
	}
	var out []Finding
	found := func(cond bool, problem, remedy string) {
		if cond {
			out = append(out, Finding{Subject: "spool", Problem: problem, Remedy: remedy, Warning: true})
		}
	}
	old := s.Oldest > job.SpoolLife
	found(old, fmt.Sprintf("a request has been in the spool for %s; what is older than %s is not inserted by itself", s.Oldest.Round(time.Hour), job.SpoolLife),
		"look whether its jobs are in outbox.jobs, then send them again or not, and XDEL it: redis-cli XRANGE 'rookery:{spool}:jobs' - + COUNT 1")
	found(!old && s.Oldest > waitsTooLong, fmt.Sprintf("%d requests are in the spool, the oldest for %s", s.Entries, s.Oldest.Round(time.Second)),
		"see that Postgres answers, and that a process with --spool runs: rookery serve --spool")
	found(s.Refused > 0, fmt.Sprintf("%d spooled requests could not be inserted", s.Refused),
		"see why, and delete them when they have been dealt with: redis-cli XRANGE 'rookery:{spool}:refused' - +; DEL 'rookery:{spool}:refused'")
	return out
}
