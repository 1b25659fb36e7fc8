package redisq

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestUsage_CountsEvictions(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t, "--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru")
	f := newFixture(t, server.URL())
	before, err := f.Usage(context.Background())
	f.no(err)
	f.same("limit and evictions", []int64{before.MaxMemory, before.EvictedKeys}, []int64{6 << 20, 0})
	for i := range 10 {
		f.do("SET", "k"+strconv.Itoa(i), strings.Repeat("x", 1<<20))
	}
	after, err := f.Usage(context.Background())
	f.no(err)
	if after.EvictedKeys == 0 || after.UsedMemory <= before.UsedMemory {
		t.Errorf("Usage with 10 MB in 6 MB = %+v, before %+v, want keys evicted", after, before)
	}
}

func TestUsage_OfAllMasters(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		got, err := f.Usage(context.Background())
		f.no(err)
		if got.UsedMemory <= 0 || got.EvictedKeys != 0 {
			t.Errorf("Usage = %+v, want some memory and no evictions", got)
		}
		if p := f.Pool(); p.InUse+p.Idle == 0 || p.Timeouts != 0 {
			t.Errorf("Pool after a call = %+v, want a connection", p)
		}
	})
}
