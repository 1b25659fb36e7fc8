package job_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestHistogram_BoundsBelongToTheirBucket(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want int // the bucket
	}{
		{-time.Second, 0}, {0, 0}, {time.Millisecond, 0}, {time.Millisecond + 1, 1},
		{30 * time.Minute, job.HistogramSize - 2}, {30*time.Minute + 1, job.HistogramSize - 1}, {math.MaxInt64, job.HistogramSize - 1},
	} {
		var s job.Histogram
		s.Add(c.d)
		var want job.Histogram
		want[c.want] = 1
		if s != want {
			t.Errorf("Add(%s) = %v, want one in bucket %d", c.d, s, c.want)
		}
	}
}

func TestHistogram_Quantile(t *testing.T) {
	histogram := func(durations ...time.Duration) (s job.Histogram) {
		for _, d := range durations {
			s.Add(d)
		}
		return s
	}
	for _, c := range []struct {
		name string
		s    job.Histogram
		q    float64
		want time.Duration
	}{
		{"none", histogram(), 0.5, 0},
		{"one, in the middle of its bucket", histogram(80 * time.Millisecond), 0.5, 75 * time.Millisecond},
		{"all of the bucket", histogram(80*time.Millisecond, 80*time.Millisecond), 1, 100 * time.Millisecond},
		{"half below", histogram(0, 0, 2*time.Second, 2*time.Second), 0.5, time.Millisecond},
		{"past an empty bucket", histogram(0, 2*time.Second), 0.75, 1750 * time.Millisecond},
		{"beyond the last bound", histogram(time.Hour), 0.5, 30 * time.Minute},
	} {
		if got := c.s.Quantile(c.q); got != c.want {
			t.Errorf("%s: Quantile(%g) = %s, want %s", c.name, c.q, got, c.want)
		}
	}
}

func TestStatRange_Check(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		r     job.StatRange
		field string // "": it is within the limits
	}{
		{job.StatRange{From: now.Add(-time.Hour), To: now, Step: time.Minute}, ""},
		{job.StatRange{QueueName: "mail", From: now.Add(-time.Hour), To: now, Step: time.Minute}, ""},
		{job.StatRange{QueueName: "{mail}", From: now.Add(-time.Hour), To: now, Step: time.Minute}, "queue_name"},
		{job.StatRange{From: now.Add(-time.Hour), To: now}, "step"},
		{job.StatRange{From: now.Add(-time.Hour), To: now, Step: 90 * time.Second}, "step"},
		{job.StatRange{From: now, To: now, Step: time.Minute}, "from"},
		{job.StatRange{From: now.Add(-1500 * time.Minute), To: now, Step: time.Minute}, ""},
		{job.StatRange{From: now.Add(-1501 * time.Minute), To: now, Step: time.Minute}, "step"},
		{job.StatRange{From: now.Add(-8 * 24 * time.Hour), To: now, Step: time.Hour}, ""},
		{job.StatRange{From: now.Add(-8*24*time.Hour - 1), To: now, Step: time.Hour}, "from"},
	} {
		err := c.r.Check()
		var field *job.FieldError
		switch {
		case c.field == "" && err != nil:
			t.Errorf("Check(%+v) = %v, want nil", c.r, err)
		case c.field != "" && (!errors.As(err, &field) || field.Field != c.field):
			t.Errorf("Check(%+v) = %v, want an error of field %s", c.r, err, c.field)
		}
	}
}

func TestEnvelope_DueAt(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	for _, e := range []job.Envelope{{CreatedAt: early, RunAt: late}, {CreatedAt: late, RunAt: early}} {
		if got := e.DueAt(); !got.Equal(late) {
			t.Errorf("DueAt of created %d, run_at %d = %d, want the later", e.CreatedAt.Unix(), e.RunAt.Unix(), got.Unix())
		}
	}
}
