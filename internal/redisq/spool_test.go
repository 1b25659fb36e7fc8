package redisq

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// clusterSpool is held by the one test that uses the spool of the cluster, which all
// tests share: its keys have one name.
var clusterSpool sync.Mutex

// onSpool is [everywhere] for tests of the spool.
func onSpool(t *testing.T, test func(t *testing.T, f *fixture)) {
	everywhere(t, func(t *testing.T, f *fixture) {
		if _, ok := f.rdb.(*redis.ClusterClient); ok {
			clusterSpool.Lock()
			defer clusterSpool.Unlock()
		}
		test(t, f)
	})
}

// spoolOn is an empty spool.
func spoolOn(f *fixture, l SpoolLimits) *Spool {
	f.Helper()
	f.do("DEL", spoolMeta, spoolJobs, spoolKeys, spoolRefused)
	s, err := f.Spool(l)
	f.no(err)
	return s
}

// spooled is a request of at least two jobs with payloads of some size together.
func spooled(n int, size int) job.Spooled {
	priority := 100
	r := job.Spooled{
		Key: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Digest: []byte(fmt.Sprintf("%016d", n)),
		Specs: []job.Spec{{
			QueueName: "q", Kind: "k", Payload: json.RawMessage(`"` + strings.Repeat("<", size%200_000) + `"`), Priority: &priority, MaxAttempts: 3,
			RunAt: time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC),
		}, {QueueName: "q", Payload: json.RawMessage(`null`), Headers: json.RawMessage(`{"a":"b"}`), Priority: &priority, MaxAttempts: 25}},
	}
	for range size / 200_000 {
		r.Specs = append(r.Specs, job.Spec{QueueName: "q", Payload: json.RawMessage(`"` + strings.Repeat("x", 200_000) + `"`), Priority: &priority, MaxAttempts: 25})
	}
	return r
}

func (f *fixture) page(s *Spool, after string) job.SpoolPage {
	f.Helper()
	p, err := s.Peek(context.Background(), after)
	f.no(err)
	return p
}

func TestSpool_KeepsAndGivesBack(t *testing.T) {
	onSpool(t, func(t *testing.T, f *fixture) {
		s := spoolOn(f, SpoolLimits{})
		ctx := t.Context()
		f.same("an empty spool", f.page(s, ""), job.SpoolPage{})
		for n := range 3 {
			f.no(s.Append(ctx, spooled(n, 10)))
			f.no(s.Append(ctx, spooled(n, 10))) // sent again
		}
		p := f.page(s, "")
		if len(p.Entries) != 3 || p.Stats.Entries != 3 || p.Stats.Bytes < 3*256 {
			t.Fatalf("Peek = %+v, want three entries", p)
		}
		for n, e := range p.Entries {
			f.same("entry", e, job.SpoolEntry{Spooled: spooled(n, 10), ID: e.ID})
		}
		f.same("behind the first", f.page(s, p.Entries[0].ID).Entries, p.Entries[1:])
		reused := spooled(1, 10)
		reused.Digest = []byte("another body....")
		if err := s.Append(ctx, reused); !errors.Is(err, job.ErrKeyReused) {
			t.Errorf("Append of another body = %v, want ErrKeyReused", err)
		}

		for range 2 {
			f.no(s.Remove(ctx, "", p.Entries[0].ID))
			f.no(s.Remove(ctx, "is odd", p.Entries[1].ID))
		}
		for n, want := range []job.SpoolState{job.SpoolUnknown, job.SpoolRefused, job.SpoolWaiting, job.SpoolUnknown} {
			if got, err := s.Find(ctx, spooled(n, 0).Key); got != want || err != nil {
				t.Errorf("Find(%d) = %s, %v, want %s", n, got, err, want)
			}
		}
		f.no(s.Remove(ctx, "", p.Entries[2].ID))
		left := f.page(s, "").Stats
		if left.Entries != 0 || left.Bytes != 0 || left.Refused != 1 {
			t.Errorf("in the end %+v, want nothing but one set aside", left)
		}
	})
}

func TestSpool_IsBounded(t *testing.T) {
	onSpool(t, func(t *testing.T, f *fixture) {
		s := spoolOn(f, SpoolLimits{Entries: 3})
		for n := range 3 {
			f.no(s.Room(t.Context()))
			f.no(s.Append(t.Context(), spooled(n, 10)))
		}
		if err := s.Room(t.Context()); !errors.Is(err, job.ErrSpoolFull) {
			t.Errorf("Room of a full spool = %v, want ErrSpoolFull", err)
		}
		before := f.page(s, "")
		if err := s.Append(t.Context(), spooled(3, 10)); !errors.Is(err, job.ErrSpoolFull) {
			t.Errorf("Append beyond the entries = %v, want ErrSpoolFull", err)
		}
		f.no(s.Append(t.Context(), spooled(2, 10))) // it is there already
		f.same("left by a refusal", f.page(s, "").Entries, before.Entries)

		each := before.Stats.Bytes / 3
		s = spoolOn(f, SpoolLimits{Bytes: 3 * each})
		for n := range 3 {
			f.no(s.Append(t.Context(), spooled(n, 10)))
		}
		if err := s.Append(t.Context(), spooled(3, 0)); !errors.Is(err, job.ErrSpoolFull) {
			t.Errorf("Append beyond the bytes = %v, want ErrSpoolFull", err)
		}
		f.no(s.Remove(t.Context(), "", f.page(s, "").Entries[0].ID))
		f.no(s.Append(t.Context(), spooled(3, 10)))
		for _, l := range []SpoolLimits{{Entries: -1}, {Bytes: -1}} {
			if _, err := f.Spool(l); err == nil {
				t.Errorf("Spool(%+v) = nil, want an error", l)
			}
		}
	})
}

func TestSpool_PagesAreBounded(t *testing.T) {
	onSpool(t, func(t *testing.T, f *fixture) {
		s := spoolOn(f, SpoolLimits{})
		for n := range 7 {
			f.no(s.Append(t.Context(), spooled(n, 200_000*(n%2)*10)))
		}
		seen, after := 0, ""
		for {
			p := f.page(s, after)
			if len(p.Entries) == 0 {
				break
			}
			if seen == 0 && len(p.Entries) == 7 {
				t.Error("a page has more than 4 MB and one entry")
			}
			for _, e := range p.Entries {
				if want := spooled(seen, 0).Key; e.Key != want {
					t.Fatalf("entry %d has key %s, want %s", seen, e.Key, want)
				}
				seen, after = seen+1, e.ID
			}
		}
		if seen != 7 {
			t.Errorf("pages have %d entries, want 7", seen)
		}
	})
}

// What somebody else puts into the stream is read as bad, does not count, and goes
// aside without harming the entry whose key it borrows.
func TestSpool_ForgedEntries(t *testing.T) {
	onSpool(t, func(t *testing.T, f *fixture) {
		s := spoolOn(f, SpoolLimits{})
		ctx, good, other := t.Context(), spooled(1, 10), spooled(2, 10)
		f.no(s.Append(ctx, good))
		bytes := f.page(s, "").Stats.Bytes
		seals, err := f.seals.keys(ctx)
		f.no(err)
		digest := hex.EncodeToString(good.Digest)
		text, err := job.EncodeSpecs(good.Specs)
		f.no(err)
		// entry is one whose seal is genuine for something.
		entry := func(key, digestText, text, sealed string) []any {
			return []any{"key", key, "digest", digestText, "size", "1000000", "seal", seals.SealSpooled(good.Key, good.Digest, []byte(sealed)), "jobs", text}
		}
		forged := map[string][]any{
			"nothing known":       {"nothing", "known"},
			"no seal":             {"key", good.Key, "digest", digest, "jobs", text},
			"seal of other jobs":  entry(good.Key, digest, string(text), `[{"payload":1}]`),
			"another key":         entry(other.Key, digest, string(text), string(text)),
			"another digest":      entry(good.Key, hex.EncodeToString(other.Digest), string(text), string(text)),
			"no digest":           entry(good.Key, "zz", string(text), string(text)),
			"an unknown seal key": {"key", good.Key, "digest", digest, "seal", "77:" + strings.Repeat("A", 22), "jobs", text},
		}
		// Sealed, as by a program of another version, and still not to be inserted.
		for _, odd := range []string{
			`[{"kind":"k","status":"completed"}]`, `[]`, `{}`, ``, string(text) + "[]", `[{"payload":"\u0000"}]`,
			`[{"queue_name":"a{b","kind":"","payload":1,"priority":1,"max_attempts":1}]`,
		} {
			forged["sealed "+odd] = entry(good.Key, digest, odd, odd)
		}
		for _, fields := range forged {
			f.do(append([]any{"XADD", spoolJobs, "*"}, fields...)...)
		}
		p := f.page(s, "")
		if len(p.Entries) != len(forged)+1 || p.Entries[0].Bad != "" {
			t.Fatalf("%d entries, the first bad: %q; want %d and a good one", len(p.Entries), p.Entries[0].Bad, len(forged)+1)
		}
		for _, e := range p.Entries[1:] {
			if e.Bad == "" {
				t.Errorf("a forged entry reads as %+v", e)
			}
			f.no(s.Remove(ctx, e.Bad, e.ID))
		}
		if got := f.page(s, ""); len(got.Entries) != 1 || got.Stats.Bytes != bytes || got.Stats.Refused != int64(len(forged)) {
			t.Errorf("left %+v, want the good one and its %d bytes", got.Stats, bytes)
		}
		if got, err := s.Find(ctx, good.Key); got != job.SpoolWaiting || err != nil {
			t.Errorf("Find = %s, %v, want waiting", got, err)
		}
	})
}

// Without the seal keys nothing can be kept that could be told from a forgery.
func TestSpool_NeedsTheSealKeys(t *testing.T) {
	t.Parallel()
	url := devtest.Redis(t)
	away := func(context.Context) ([]job.SealKey, error) { return nil, job.ErrUnavailable }
	c, err := Options{Logger: slog.New(slog.DiscardHandler), SealKeys: away}.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Spool(SpoolLimits{})
	if err != nil {
		t.Fatal(err)
	}
	_, peek := s.Peek(t.Context(), "")
	for what, err := range map[string]error{"Append": s.Append(t.Context(), spooled(1, 10)), "Room": s.Room(t.Context()), "Peek": peek} {
		if !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("%s without keys = %v, want ErrUnavailable", what, err)
		}
	}
}

func TestSpool_WhatIsSetAsideIsBounded(t *testing.T) {
	onSpool(t, func(t *testing.T, f *fixture) {
		s := spoolOn(f, SpoolLimits{})
		const n, size = 6, 2_000_000 // 12 MB: more than is kept
		for i := range n {
			f.no(s.Append(t.Context(), spooled(i, size)))
			f.no(s.Remove(t.Context(), "is odd", f.page(s, "").Entries[0].ID))
		}
		if got := f.page(s, "").Stats; got.Refused < 1 || got.Refused*size > maxRefusedBytes {
			t.Errorf("%d entries of 2 MB are set aside, want at most 8 MB", got.Refused)
		}
		for i, want := range map[int]job.SpoolState{0: job.SpoolUnknown, n - 1: job.SpoolRefused} {
			if got, err := s.Find(t.Context(), spooled(i, 0).Key); got != want || err != nil {
				t.Errorf("Find(%d) = %s, %v, want %s", i, got, err, want)
			}
		}
	})
}

// People may delete what they have dealt with.
func TestSpool_DeletedByHand(t *testing.T) {
	onSpool(t, func(t *testing.T, f *fixture) {
		s := spoolOn(f, SpoolLimits{})
		for range 2 {
			f.no(s.Append(t.Context(), spooled(1, 3_000_000)))
			f.do("XDEL", spoolJobs, f.page(s, "").Entries[0].ID)
			f.no(s.Append(t.Context(), spooled(1, 3_000_000)))
			p := f.page(s, "")
			if len(p.Entries) != 1 || p.Stats.Bytes > 4_000_000 {
				t.Fatalf("after a deletion by hand %+v, want one entry of 3 MB", p.Stats)
			}
			for n := range 3 {
				f.no(s.Append(t.Context(), spooled(10+n, 2_000_000)))
			}
			for _, id := range []string{p.Entries[0].ID, f.page(s, p.Entries[0].ID).Entries[0].ID} {
				f.no(s.Remove(t.Context(), "is odd", id))
			}
			if got := f.page(s, "").Stats.Refused; got != 2 {
				t.Errorf("%d set aside, want 2", got)
			}
			f.do("DEL", spoolRefused, spoolJobs)
		}
	})
}

// An entry older than the row that would tell that it was inserted is left alone:
// the copy of an old Redis that somebody restores must not run again.
func TestSpool_OldEntriesAreLeftAlone(t *testing.T) {
	onSpool(t, func(t *testing.T, f *fixture) {
		s := spoolOn(f, SpoolLimits{})
		day := 24 * time.Hour
		for _, age := range []time.Duration{9 * day, job.SpoolLife + time.Hour, job.SpoolLife - time.Hour, time.Hour} {
			f.do("XADD", spoolJobs, fmt.Sprint(time.Now().Add(-age).UnixMilli(), "-1"), "key", age.String())
		}
		p := f.page(s, "")
		if len(p.Entries) != 2 || p.Stats.Entries != 4 || p.Stats.Oldest < 9*day || p.Stats.Oldest > 9*day+time.Hour {
			t.Errorf("Peek = %d entries, %+v; want the two younger ones of four", len(p.Entries), p.Stats)
		}
		f.do("XTRIM", spoolJobs, "MAXLEN", 0)
	})
}

func TestSpool_RefusedWholeWhenRedisIsFull(t *testing.T) {
	t.Parallel()
	f := newFixture(t, devtest.RedisServer(t, "--maxmemory", "3mb").URL())
	s := spoolOn(f, SpoolLimits{})
	n := 0
	var err error
	for ; err == nil && n < 1000; n++ {
		err = s.Append(t.Context(), spooled(n, 100_000))
	}
	if !errors.Is(err, job.ErrFull) {
		t.Fatalf("Append into a full Redis = %v, want ErrFull", err)
	}
	if got, err := s.Find(t.Context(), spooled(n-1, 0).Key); got != job.SpoolUnknown || err != nil {
		t.Errorf("Find of the refused one = %s, %v, want unknown", got, err)
	}
	p := f.page(s, "")
	if p.Stats.Entries != int64(n-1) || p.Stats.Entries != f.do("HLEN", spoolKeys) {
		t.Errorf("%d entries and %v keys, want %d", p.Stats.Entries, f.do("HLEN", spoolKeys), n-1)
	}
	f.no(s.Remove(t.Context(), "", p.Entries[0].ID)) // a full spool must still be drained
}

func TestSpool_LostRepliesAndManyAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, devtest.Redis(t))
	g, net := overLossy(t, f)
	s, plain := spoolOn(g, SpoolLimits{}), spoolOn(f, SpoolLimits{})
	net.lose.Store(1)
	if err := s.Append(t.Context(), spooled(0, 10)); err != nil {
		t.Fatalf("Append whose reply was lost = %v, want nil: it is sent again", err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := range 50 {
				if err := plain.Append(t.Context(), spooled(n, 10)); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	all.Wait()
	if got := f.page(plain, "").Stats.Entries; got != 50 {
		t.Errorf("%d entries, want 50", got)
	}
}
