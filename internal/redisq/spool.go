package redisq

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// The spool's keys share one hash tag, so that its scripts work in a cluster:
//
//	rookery:{spool}:jobs      stream of entries: key, digest, size, seal, jobs
//	rookery:{spool}:keys      HASH key → digest:id of the entry, or "refused"
//	rookery:{spool}:meta      HASH bytes, refused_bytes
//	rookery:{spool}:refused   stream of what cannot be inserted
const (
	spoolMeta    = "rookery:{spool}:meta"
	spoolJobs    = "rookery:{spool}:jobs"
	spoolKeys    = "rookery:{spool}:keys"
	spoolRefused = "rookery:{spool}:refused"
)

// What one page of the spool, and what was set aside, may have.
const (
	spoolPage       = 100
	spoolPageBytes  = 4 << 20
	maxRefused      = 1_000
	maxRefusedBytes = 8 << 20
)

// SpoolLimits are how much the spool may hold; zero fields take their default.
type SpoolLimits struct {
	Entries int64 // 0 means 100,000
	Bytes   int64 // of the jobs as JSON and 256 an entry; 0 means 64 MB
}

// The defaults of [SpoolLimits].
const (
	DefaultSpoolEntries = 100_000
	DefaultSpoolBytes   = 64_000_000
)

// Spool keeps requests' jobs in Redis while Postgres is away. It is safe for
// concurrent use, in any number of processes. Every method may be called again with
// the same effect; their errors wrap [job.ErrUnavailable] when Redis does not
// answer, and [job.ErrFull] when its memory is full.
type Spool struct {
	c      *Client
	limits SpoolLimits
}

// Spool returns the spool of this Redis, or what is wrong with the limits.
func (c *Client) Spool(l SpoolLimits) (*Spool, error) {
	if l.Entries == 0 {
		l.Entries = DefaultSpoolEntries
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultSpoolBytes
	}
	if l.Entries < 0 || l.Bytes < 0 {
		return nil, fmt.Errorf("spool of %d entries and %d bytes, both must be positive", l.Entries, l.Bytes)
	}
	return &Spool{c: c, limits: l}, nil
}

// Append keeps one request's jobs, all or none. A key that waits already is kept
// once. Errors: [job.ErrSpoolFull]; [job.ErrKeyReused] when the key waits with
// another digest; those of every method, after which it may have been kept.
// [job.ErrUnavailable] also when the seal keys have not been read since the process
// began, which takes Postgres: nobody could tell the request from a forged one.
func (s *Spool) Append(ctx context.Context, r job.Spooled) error {
	text, err := job.EncodeSpecs(r.Specs)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	seals, err := s.c.seals.keys(ctx)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	_, err = s.c.run(ctx, &s.c.scripts.spool, []string{spoolMeta, spoolJobs, spoolKeys},
		[]any{r.Key, hex.EncodeToString(r.Digest), text, s.limits.Entries, s.limits.Bytes, seals.SealSpooled(r.Key, r.Digest, text)})
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Peek returns the oldest entries behind the one with id after, "" meaning from the
// start, without those older than [job.SpoolLife], of which nobody can say any more
// whether they were inserted. Entries that nobody sealed are Bad.
func (s *Spool) Peek(ctx context.Context, after string) (job.SpoolPage, error) {
	seals, err := s.c.seals.keys(ctx) // of an empty spool too: they must be known before they are needed
	if err != nil {
		return job.SpoolPage{}, fmt.Errorf("read spool: %w", err)
	}
	p, raw, err := s.peek(ctx, after, spoolPage)
	if err != nil {
		return p, err
	}
	for i := range raw {
		e, err := spoolEntry(seals, raw.list(i))
		if errors.Is(err, job.ErrSealKey) { // perhaps newer than ours
			if seals, err = s.c.seals.newer(ctx, seals); err != nil {
				return p, fmt.Errorf("read spool: %w", err)
			}
			e, err = spoolEntry(seals, raw.list(i))
		}
		switch {
		case errors.Is(err, job.ErrForged), errors.Is(err, job.ErrSealKey):
			e.Bad = "it is not sealed: nobody who may read the seal keys wrote it"
		case err != nil:
			e.Bad = err.Error()
		}
		p.Entries = append(p.Entries, e)
	}
	return p, nil
}

// Room returns nil while the spool can take more.
func (s *Spool) Room(ctx context.Context) error {
	if _, err := s.c.seals.keys(ctx); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	p, _, err := s.peek(ctx, "", 0)
	if err == nil && (p.Stats.Entries >= s.limits.Entries || p.Stats.Bytes >= s.limits.Bytes) {
		err = job.ErrSpoolFull
	}
	return err
}

// Stats says how full the spool is.
func (s *Spool) Stats(ctx context.Context) (job.SpoolStats, error) {
	p, _, err := s.peek(ctx, "", 0)
	return p.Stats, err
}

func (s *Spool) peek(ctx context.Context, after string, most int) (job.SpoolPage, reply, error) {
	r, err := s.c.run(ctx, &s.c.scripts.peek, []string{spoolMeta, spoolJobs, spoolRefused},
		[]any{after, most, spoolPageBytes, job.SpoolLife.Milliseconds()})
	if err != nil {
		return job.SpoolPage{}, nil, fmt.Errorf("read spool: %w", err)
	}
	return job.SpoolPage{Stats: job.SpoolStats{
		Entries: r.number(1), Bytes: r.number(2), Refused: r.number(3), Oldest: time.Duration(r.number(4)) * time.Millisecond,
	}}, r.list(5), nil
}

// spoolEntry reads an entry: its id and its fields. Whoever may write to Redis can
// have made it, or a part of it, by hand.
func spoolEntry(seals *job.Seals, raw reply) (job.SpoolEntry, error) {
	values, fields := map[string]string{}, raw.list(1)
	for i := 0; i+1 < len(fields); i += 2 {
		values[fields.text(i)] = fields.text(i + 1)
	}
	e := job.SpoolEntry{ID: raw.text(0)}
	e.Key = values["key"]
	var err error
	if e.Digest, err = hex.DecodeString(values["digest"]); err != nil {
		return e, job.ErrForged
	}
	if err = seals.OpenSpooled(values["seal"], e.Key, e.Digest, []byte(values["jobs"])); err != nil {
		return e, err
	}
	e.Specs, err = job.DecodeSpecs([]byte(values["jobs"]))
	return e, err
}

// Remove takes entries out of the spool, by their ids: with an empty reason because
// Postgres has them, else to set them aside for people to look at, the latest
// thousand or 8 MB.
func (s *Spool) Remove(ctx context.Context, reason string, ids ...string) error {
	args := []any{reason, maxRefused, maxRefusedBytes}
	for _, id := range ids {
		args = append(args, id)
	}
	if _, err := s.c.run(ctx, &s.c.scripts.unspool, []string{spoolMeta, spoolJobs, spoolKeys, spoolRefused}, args); err != nil {
		return fmt.Errorf("take out of spool: %w", err)
	}
	return nil
}

// Find says whether a key waits, was refused, or is unknown here.
func (s *Spool) Find(ctx context.Context, key string) (job.SpoolState, error) {
	noted, err := s.c.rdb.HGet(ctx, spoolKeys, key).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return job.SpoolUnknown, nil
	case err != nil:
		return job.SpoolUnknown, fmt.Errorf("look up in spool: %w", translate(err))
	case noted == string(job.SpoolRefused):
		return job.SpoolRefused, nil
	}
	return job.SpoolWaiting, nil
}
