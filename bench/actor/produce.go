package actor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// moments of one job, in ns since 1970.
type moments struct {
	n, a, b, c int64
}

// Produce connects, says so on out, waits for a line on in, and inserts.
func Produce(ctx context.Context, sys System, s Servers, o ProduceOptions, in io.Reader, out *Lines) error {
	p, err := sys.Producer(ctx, s, o)
	if err != nil {
		return fmt.Errorf("producer of %s: %w", o.System, err)
	}
	defer p.Close()
	out.Write(map[string]any{"ready": true})
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return fmt.Errorf("wait for the order to begin: %w", err)
	}
	before := allocated()
	began := time.Now()
	written, err := insert(ctx, p, o)
	if err != nil {
		return err
	}
	took := time.Since(began)
	after := allocated()
	if o.Record != "" {
		if err := record(o.Record, written, true); err != nil {
			return err
		}
	}
	out.Write(map[string]any{"done": true, "jobs": o.Jobs, "seconds": took.Seconds(),
		"mallocs": after.Mallocs - before.Mallocs, "bytes": after.TotalAlloc - before.TotalAlloc})
	return nil
}

func allocated() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// insert lets o.Producers goroutines insert o.Jobs jobs. With a rate each
// transaction has its moment, drawn beforehand; a producer that is late makes its
// transaction at once, and the record says when it should have been.
func insert(ctx context.Context, p Producer, o ProduceOptions) ([]moments, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next    atomic.Int64
		mu      sync.Mutex
		written []moments
		wg      sync.WaitGroup
		began   = time.Now()
		due     = appointments(o)
		txs     = (o.Jobs + int64(o.PerTx) - 1) / int64(o.PerTx)
		pad     = newPadding(o.Payload)
	)
	for range o.Producers {
		wg.Go(func() {
			var mine []moments
			jobs := make([]Job, 0, o.PerTx)
			for ctx.Err() == nil {
				tx := next.Add(1) - 1
				if tx >= txs {
					break
				}
				intended := time.Now()
				if due != nil {
					intended = began.Add(due[tx])
					sleepUntil(ctx, intended)
				}
				jobs = jobs[:0]
				for n := tx * int64(o.PerTx); n < min((tx+1)*int64(o.PerTx), o.Jobs); n++ {
					jobs = append(jobs, makeJob(o, o.First+n, pad))
				}
				start := time.Now()
				if err := p.Insert(ctx, jobs); err != nil {
					cancel(fmt.Errorf("insert: %w", err))
					break
				}
				end := time.Now()
				if o.Record != "" {
					for _, j := range jobs {
						mine = append(mine, moments{j.Number, intended.UnixNano(), start.UnixNano(), end.UnixNano()})
					}
				}
			}
			mu.Lock()
			written = append(written, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	return written, ctx.Err()
}

// appointments draws the moments of all transactions, or nil when they follow one
// another as fast as they go.
func appointments(o ProduceOptions) []time.Duration {
	if o.Rate <= 0 {
		return nil
	}
	due := make([]time.Duration, (o.Jobs+int64(o.PerTx)-1)/int64(o.PerTx))
	var at time.Duration
	for i := range due {
		at += time.Duration(rand.ExpFloat64() * float64(time.Second) / o.Rate)
		due[i] = at
	}
	return due
}

func sleepUntil(ctx context.Context, t time.Time) {
	d := time.Until(t)
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// padding is text from which payloads that differ are cut; it does not compress
// much better than what people write.
type padding struct {
	text string
	size int
}

func newPadding(payload int) padding {
	const letters = "etaoin shrdlu cmfwyp vbgkqj xz0123456789 ETAOIN SHRDLU"
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // any text does
	text := make([]byte, 2*payload+4096)
	for i := range text {
		text[i] = letters[rng.IntN(len(letters))]
	}
	return padding{text: string(text), size: payload}
}

func makeJob(o ProduceOptions, n int64, pad padding) Job {
	j := Job{Number: n, Queue: o.Queue}
	if o.Queues > 0 {
		j.Queue = "bench-" + strconv.FormatInt(int64(o.QueueFirst)+n%int64(o.Queues), 10)
	}
	b := append(make([]byte, 0, pad.size+64), `{"n":`...)
	b = strconv.AppendInt(b, n, 10)
	if o.DelayTo > 0 {
		j.RunAt = time.Now().Add(o.DelayFrom + rand.N(o.DelayTo-o.DelayFrom+1))
		b = strconv.AppendInt(append(b, `,"at":`...), j.RunAt.UnixNano(), 10)
	}
	b = append(b, `,"pad":"`...)
	if room := pad.size - len(b) - 2; room > 0 {
		from := int(n*31) % (len(pad.text) - room)
		b = append(b, pad.text[from:from+room]...)
	}
	j.Payload = append(b, `"}`...)
	return j
}

// record writes the moments of jobs, three of a producer and two of a worker.
func record(file string, all []moments, producer bool) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for _, m := range all {
		line = strconv.AppendInt(line[:0], m.n, 10)
		line = strconv.AppendInt(append(line, ' '), m.a, 10)
		line = strconv.AppendInt(append(line, ' '), m.b, 10)
		if producer {
			line = strconv.AppendInt(append(line, ' '), m.c, 10)
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}
