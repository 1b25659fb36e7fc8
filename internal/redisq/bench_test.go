package redisq

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func newBench(b testing.TB) *fixture {
	return newFixture(b, devtest.RedisServer(b, "--appendonly", "yes", "--appendfsync", "everysec").URL())
}

// perJob reports what one of a batch of 500 costs.
func perJob(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/job.MaxBatch, "µs/job")
}

func (f *fixture) full(dispatchID int64, payload int) []job.Envelope {
	ids := make([]int64, job.MaxBatch)
	for i := range ids {
		ids[i] = dispatchID*1000 + int64(i)
	}
	jobs := f.jobs(dispatchID, ids...)
	for i := range jobs {
		jobs[i].Payload = append(append([]byte(`"`), bytes.Repeat([]byte("x"), payload-2)...), '"')
	}
	return jobs
}

func BenchmarkPush(b *testing.B) { rounds(b, "push") }
func BenchmarkTake(b *testing.B) { rounds(b, "take") }
func BenchmarkBeat(b *testing.B) { rounds(b, "beat") }
func BenchmarkAck(b *testing.B)  { rounds(b, "ack") }

// rounds pushes, takes, beats and acks batches of 500, with AOF everysec, and times
// one of the steps.
func rounds(b *testing.B, step string) {
	for _, payload := range []int{50, 1000} {
		b.Run(fmt.Sprintf("%dB", payload), func(b *testing.B) {
			f := newBench(b)
			f.round(b, payload, step)
			perJob(b)
		})
	}
}

func (f *fixture) round(b *testing.B, payload int, timed string) {
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	for i := range b.N {
		jobs := f.full(int64(i+1), payload)
		p := f.batch(jobs...)
		p.Forget = []int64{int64(i)}
		step := func(name string, do func() error) {
			if name == timed {
				b.StartTimer()
				defer b.StopTimer()
			}
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
		step("push", func() error { _, err := f.Push(ctx, p); return err })
		step("take", func() error {
			t, err := f.Take(ctx, f.order(fmt.Sprint("t", i), job.MaxBatch))
			if err == nil && len(t.Jobs) != job.MaxBatch {
				err = fmt.Errorf("took %d", len(t.Jobs))
			}
			return err
		})
		step("beat", func() error { _, _, err := f.Beat(ctx, f.queue, 1, job.Lease, p.Refs()); return err })
		step("ack", func() error { return f.Ack(ctx, f.queue, 1, p.Refs()) })
	}
}
