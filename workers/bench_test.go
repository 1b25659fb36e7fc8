package workers

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// BenchmarkWorker_NoopJobs measures what this package itself costs per job: the
// store and the queue only hand over ready-made slices.
func BenchmarkWorker_NoopJobs(b *testing.B) {
	done := make(chan struct{})
	instant := &instant{left: int64(b.N), want: int64(b.N), done: done}
	registry := NewRegistry()
	registry.Handle("noop", HandlerFunc(func(context.Context, *Job) error { return nil }), HandlerOptions{})
	w, err := New(instant, instant, instantLeases{}, registry, Options{Queues: []QueueWeight{{Name: "bench"}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	b.ReportAllocs()
	b.ResetTimer()
	ended := make(chan error, 1) // one: read once, at the end
	go func() { ended <- w.Run(ctx) }()
	<-done
	b.StopTimer()
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// instant answers at once, and knows nothing of guards.
type instant struct {
	left int64
	next int64
	got  atomic.Int64
	want int64
	done chan struct{}
}

func (s *instant) Take(_ context.Context, t job.Take) (job.Taken, error) {
	n := min(int64(t.Limit), s.left)
	s.left -= n
	jobs := make([]job.Envelope, n)
	for i := range jobs {
		s.next++
		jobs[i] = job.Envelope{ID: s.next, DispatchID: 7, QueueName: "bench", Kind: "noop", AttemptCount: 1, MaxAttempts: 25, Payload: json.RawMessage(`{"a":1}`)}
	}
	return job.Taken{Jobs: jobs, More: s.left > 0}, nil
}

func (s *instant) Hold(context.Context, job.Hold) ([]int64, error) { return nil, nil }

func (s *instant) Renew(context.Context, string, time.Duration, []int64) (current, cancelled []job.Ref, err error) {
	return nil, nil, nil
}

func (s *instant) Claim(context.Context, job.Claim) (job.Batch, error) { return job.Batch{}, nil }

func (s *instant) Wait(ctx context.Context, _ []string, d time.Duration) ([]string, error) {
	pause(ctx, d)
	return nil, ctx.Err()
}
func (s *instant) Release(context.Context, string, int64, []job.Envelope) error { return nil }
func (s *instant) Register(context.Context, job.Process) error                  { return nil }
func (s *instant) Reconcile(_ context.Context, _ string, outcomes []job.Outcome) ([]job.Verdict, error) {
	verdicts := make([]job.Verdict, len(outcomes))
	for i := range outcomes {
		verdicts[i] = job.Verdict{Ref: outcomes[i].Ref, Status: job.Completed}
	}
	if s.got.Add(int64(len(outcomes))) == s.want {
		close(s.done)
	}
	return verdicts, nil
}
func (s *instant) Verify(_ context.Context, refs []job.Ref) ([]job.Ref, error) { return refs, nil }
func (s *instant) Beat(context.Context, job.Process) (job.Heard, error) {
	return job.Heard{Epochs: map[string]int64{"bench": 1}}, nil
}
func (s *instant) Retire(context.Context, string) error { return nil }

type instantLeases struct{}

func (instantLeases) Beat(context.Context, string, int64, time.Duration, []job.Ref) (gone, cancelled []job.Ref, err error) {
	return nil, nil, nil
}
func (instantLeases) Announce(context.Context, string, int64, time.Duration, []job.Ref) ([]job.Ref, error) {
	return nil, nil
}
func (instantLeases) Ack(context.Context, string, int64, []job.Ref) error { return nil }
