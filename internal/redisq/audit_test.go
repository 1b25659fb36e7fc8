package redisq

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func TestAbsent_IsNeitherLeasedNorLost(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.do("ZADD", f.leases(), 1, "1:8") // ended, but reaping is another's business
		f.do("ZADD", f.lost(), 0, "2:8")
		got, releases, err := f.Absent(ctx, f.queue, 1, append(refs(8, 1, 2, 3), refs(7, 1)...))
		f.no(err)
		f.same("absent", got, append(refs(8, 3), refs(7, 1)...))
		f.same("releases", releases, int64(0))
		for _, n := range []int{0, job.MaxBatch + 1} {
			if _, _, err := f.Absent(ctx, f.queue, 1, make([]job.Ref, n)); err == nil {
				t.Errorf("Absent(%d refs) = nil, want an error", n)
			}
		}
	})
}

// A release that gives nothing back moves nothing, and is not counted.
func TestAbsent_CountsReleases(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		jobs := f.pushed(8, 1, 2, 3)
		f.taken("t1", 3)
		count := func() int64 {
			_, n, err := f.Absent(ctx, f.queue, 1, refs(8, 9))
			f.no(err)
			return n
		}
		f.no(f.Release(ctx, f.queue, 1, jobs[:2]))
		f.same("after one", count(), int64(1))
		f.no(f.Release(ctx, f.queue, 1, jobs[:2]))
		f.same("after one that gave nothing back", count(), int64(1))
		f.no(f.Release(ctx, f.queue, 1, jobs[2:]))
		f.same("after two", count(), int64(2))
		_, err := f.OpenEpoch(ctx, f.queue, 2, false)
		f.no(err)
		_, n, err := f.Absent(ctx, f.queue, 2, refs(8, 9))
		f.no(err)
		f.same("in the next epoch", n, int64(0))
	})
}

// What stays in a list is shown, whatever is pushed, taken and released between two
// stretches, and in pieces of 500 at their edges.
func TestWaiting_PassesOverNothingThatStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newServer(t))
	ctx := context.Background()
	var id int64
	push := func(n int) {
		var ids []int64
		for range n {
			id++
			ids = append(ids, id)
		}
		f.pushed(1000+id, ids...)
	}
	for _, n := range []int{0, 1, 499, 500, 501, 1000, 1001} {
		f, seen, calls := f.another(), 0, 0
		for first := 1; first <= n; first += 500 {
			var ids []int64
			for i := first; i < min(first+500, n+1); i++ {
				ids = append(ids, int64(i))
			}
			f.pushed(int64(first), ids...)
		}
		for from := 0; ; calls++ {
			refs, next, err := f.Waiting(ctx, f.queue, 1, job.Normal, from)
			f.no(err)
			if seen += len(refs); next == 0 {
				break
			}
			from = next
		}
		f.same(fmt.Sprintf("%d waiting: shown, further calls", n), []int{seen, calls}, []int{n, n / 500})
	}
	for range 4 {
		push(500)
	}
	stays := map[int64]bool{}
	for i := int64(301); i <= 2000; i++ { // the first 300 are taken on the way
		stays[i] = true
	}
	seen := map[int64]bool{}
	for from, n := 0, 0; ; n++ {
		got, next, err := f.Waiting(ctx, f.queue, 1, job.Normal, from)
		f.no(err)
		for _, r := range got {
			seen[r.ID] = true
		}
		if next == 0 {
			break
		}
		from = next
		push(137)
		taken, err := f.Take(ctx, f.order(fmt.Sprint("t", n), 50))
		f.no(err)
		if n%2 == 1 {
			f.no(f.Release(ctx, f.queue, 1, taken.Jobs))
		}
		if n > 20 {
			t.Fatal("no end")
		}
	}
	for i := range stays {
		if !seen[i] {
			t.Fatalf("job %d stood in the list all the time, and was not shown", i)
		}
	}
}

func TestWaiting_SkipsWhatIsNoEnvelope(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		f.pushed(8, 1)
		f.do("LPUSH", f.normal(), "x", `{"id":"2"}`)
		f.pushed(9, 2)
		for _, c := range []struct {
			band job.Band
			want []job.Ref
		}{{job.Normal, append(refs(9, 2), refs(8, 1)...)}, {job.High, nil}, {job.Low, nil}} {
			got, next, err := f.Waiting(context.Background(), f.queue, 1, c.band, 0)
			f.no(err)
			f.same("waiting", got, c.want)
			f.same("next", next, 0)
		}
	})
}

func TestEntomb_SparesWhatIsLeasedOrLost(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.pushed(8, 1, 2, 3)
		f.same("taken", f.taken("t1", 1), []int64{1})
		f.do("ZADD", f.lost(), 0, "4:8")
		got, err := f.Entomb(ctx, f.queue, 1, refs(8, 1, 2, 4, 5))
		f.no(err)
		f.same("entombed", got, refs(8, 2, 5))
		f.same("orders", f.do("ZRANGE", f.cancelled(), 0, -1), []any{"2:8", "5:8"})
		f.same("taken", f.taken("t2", 3), []int64{3})
	})
}

func TestNoted_ListsUpToASeq(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		noted := func(upTo int64) (n int) {
			for cursor := uint64(0); ; {
				ids, next, err := f.Noted(ctx, f.queue, 1, upTo, cursor)
				f.no(err)
				if n += len(ids); next == 0 {
					return n
				}
				cursor = next
			}
		}
		f.same("of none", noted(10), 0)
		for i := int64(1); i <= 5; i++ {
			f.pushed(9007199254740000+i, i)
		}
		ids, _, err := f.Noted(ctx, f.queue, 1, 1, 0)
		f.no(err)
		f.same("the first", ids, []int64{9007199254740001})
		f.same("up to 3", noted(3), 3)
		for i := range 3000 {
			f.do("HSET", f.batches(), 100+i, 100+i)
		}
		if n := noted(1099); n < 1005 || n > 1100 {
			t.Errorf("noted up to 1099 = %d, want 1005, a few of them twice at most", n)
		}
	})
}

// BenchmarkAudit is what one look costs Redis and its caller, at a full window: 20
// times Absent, 20 times Waiting, and what nobody counts besides.
func BenchmarkAudit(b *testing.B) {
	for _, payload := range []int{50, 1000} {
		b.Run(fmt.Sprintf("%dB", payload), func(b *testing.B) {
			f := newFixture(b, devtest.RedisServer(b).URL())
			ctx := context.Background()
			var all []job.Ref
			for i := range 20 {
				jobs := f.full(int64(i+1), payload)
				_, err := f.Push(ctx, f.batch(jobs...))
				f.no(err)
				all = append(all, job.Batch{Jobs: jobs}.Refs()...)
			}
			f.do("CONFIG", "RESETSTAT")
			before := time.Now()
			for b.Loop() {
				for i := 0; i < len(all); i += job.MaxBatch {
					_, _, err := f.Absent(ctx, f.queue, 1, all[i:i+job.MaxBatch])
					f.no(err)
				}
				for from := 0; ; {
					_, next, err := f.Waiting(ctx, f.queue, 1, job.Normal, from)
					f.no(err)
					if from = next; next == 0 {
						break
					}
				}
			}
			b.ReportMetric(float64(time.Since(before).Microseconds())/float64(b.N), "µs/look")
			b.Log(f.do("INFO", "commandstats"))
		})
	}
}
