package relay

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// surveyed is a store that can only be surveyed.
type surveyed struct {
	Store   // nothing else is called
	queues  []string
	surveys int
}

func (s *surveyed) Survey(context.Context, time.Time, []string) (job.Survey, error) {
	s.surveys++
	return job.Survey{Queues: slices.Clone(s.queues), NextIn: job.Never}, nil
}

// Only while hot is an answer good for a while: a relay that is asleep or drowsy has been
// woken because something is there that it has not seen.
func TestSurvey_IsSparedOnlyWhileHot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		queues []string
		fresh  time.Duration // of the last answer
		hot    bool
		want   int
	}{
		{"hot, just asked", []string{"a", "b", "c"}, time.Hour, true, 0},
		{"hot, asked a while ago", []string{"a"}, -1, true, 1},
		{"not hot", []string{"a"}, time.Hour, false, 1},
		{"nothing was there", nil, time.Hour, true, 1},
		{"many queues", []string{"a", "b", "c", "d"}, time.Hour, true, 1},
	} {
		s := &surveyed{queues: tt.queues}
		r := &Relay{store: s, look: look{active: tt.queues, fresh: time.Now().Add(tt.fresh)}}
		got, err := r.survey(t.Context(), tt.hot)
		if err != nil || s.surveys != tt.want || !slices.Equal(got.Queues, tt.queues) {
			t.Errorf("%s: %d surveys, %v, %v; want %d", tt.name, s.surveys, got.Queues, err, tt.want)
		}
		if tt.want == 0 && got.NextIn > time.Hour {
			t.Errorf("%s: the next survey is in %s", tt.name, got.NextIn)
		}
	}
}

// An answer is never good beyond the moment when a scheduled job falls due.
func TestSurvey_IsAskedAgainWhenAJobFallsDue(t *testing.T) {
	t.Parallel()
	r := &Relay{store: &due{}}
	if _, err := r.survey(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if at := r.look.fresh; at.After(time.Now().Add(time.Millisecond)) {
		t.Errorf("the answer is good for %s, though a job falls due in a millisecond", time.Until(at))
	}
}

func TestLook_LearnsWhatWakesAreFor(t *testing.T) {
	t.Parallel()
	a, b, many := []string{"a"}, []string{"b"}, []string{"a", "b", "c", "d"}
	for _, tt := range []struct {
		name  string
		found [][]string
		usual []string
		wakes int
	}{
		{"the same ones", [][]string{a, a, a}, a, 2},
		{"another", [][]string{a, a, b}, b, 0},
		{"nothing", [][]string{a, a, nil}, a, 1},
		{"too many", [][]string{many, many}, nil, 0},
	} {
		var l look
		for _, found := range tt.found {
			l.learn(found, false)
		}
		if !slices.Equal(l.usual, tt.usual) || l.wakes != tt.wakes {
			t.Errorf("%s: usual %v, %d wakes; want %v, %d", tt.name, l.usual, l.wakes, tt.usual, tt.wakes)
		}
	}
	l := look{usual: a, wakes: 3}
	l.learn(nil, true)
	if l.learn(b, true); l.wakes != 0 || !slices.Equal(l.usual, b) {
		t.Errorf("a wake for another queue: usual %v, %d wakes", l.usual, l.wakes)
	}
}

type due struct{ Store }

func (due) Survey(context.Context, time.Time, []string) (job.Survey, error) {
	return job.Survey{Queues: []string{"a"}, NextIn: time.Millisecond}, nil
}
