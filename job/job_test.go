package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// The whole table, written out a second time: every status with every event.
func TestNext_CompleteTable(t *testing.T) {
	t.Parallel()
	want := map[Status]map[Event]Status{
		Queued: {EventDispatch: Dispatched, EventRefuse: Dead, EventCancel: Cancelled},
		Dispatched: {
			EventStart: Running, EventComplete: Completed, EventFail: Queued, EventExhaust: Dead, EventDiscard: Dead, EventSnooze: Queued,
			EventLose: Queued, EventPoison: Dead, EventMissing: Queued, EventRefuse: Dead, EventCancel: Cancelled,
		},
		Running: {
			EventComplete: Completed, EventFail: Queued, EventExhaust: Dead, EventDiscard: Dead, EventSnooze: Queued,
			EventLose: Queued, EventPoison: Dead, EventMissing: Queued, EventCancel: Cancelled,
		},
		Completed: {EventRedrive: Queued},
		Dead:      {EventRedrive: Queued},
		Cancelled: {EventRedrive: Queued},
	}
	events := []Event{"", "insert", "Dispatch"} // and some that do not exist
	for _, tr := range Transitions() {
		events = append(events, tr.Event)
	}
	if len(events) != 3+13 {
		t.Errorf("%d events, want 13", len(events)-3)
	}
	for _, s := range append(Statuses(), "", "scheduled") {
		for _, e := range events {
			to, ok := want[s][e]
			if got, gotOK := Next(s, e); got != to || gotOK != ok {
				t.Errorf("Next(%q, %q) = %q, %v, want %q, %v", s, e, got, gotOK, to, ok)
			}
		}
	}
}

func TestStatuses_TerminalMeansOnlyRedrive(t *testing.T) {
	t.Parallel()
	for _, s := range Statuses() {
		var leads []Event
		for _, tr := range Transitions() {
			if slices.Contains(tr.From, s) {
				leads = append(leads, tr.Event)
			}
		}
		if got, want := s.Terminal(), slices.Equal(leads, []Event{EventRedrive}); got != want {
			t.Errorf("%s.Terminal() = %v, but the events that lead out are %v", s, got, leads)
		}
	}
	if Status("").Terminal() {
		t.Error(`Status("").Terminal() = true`)
	}
}

func TestErrorText_Edges(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain ☃", "plain ☃"},
		{"a\x00b", "a\uFFFDb"},
		{"a\xff\xfeb", "a\uFFFDb"},
		{"\xe2\x98", "\uFFFD"},
		{"\x00\xff", "\uFFFD\uFFFD"},
		{x(MaxErrorText - 1), x(MaxErrorText - 1)},
		{x(MaxErrorText), x(MaxErrorText)},
		{x(MaxErrorText + 1), x(MaxErrorText)},
		{x(MaxErrorText-3) + "☃", x(MaxErrorText-3) + "☃"},
		{x(MaxErrorText-2) + "☃", x(MaxErrorText - 2)},
		{x(MaxErrorText-1) + "☃", x(MaxErrorText - 1)},
		{x(MaxErrorText) + "☃", x(MaxErrorText)},
		{x(MaxErrorText-1) + "\x00", x(MaxErrorText - 1)}, // the replacement is longer than what it replaces
		{x(MaxErrorText-3) + "\xff", x(MaxErrorText-3) + "\uFFFD"},
	}
	for _, test := range tests {
		got := ErrorText(test.in)
		if got != test.want {
			t.Errorf("ErrorText(%d bytes ending in %q) = %d bytes ending in %q, want %d", len(test.in), tail(test.in), len(got), tail(got), len(test.want))
		}
		if !storable(got) || len(got) > MaxErrorText {
			t.Errorf("ErrorText(%q…) is not storable or too long", tail(test.in))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-6):] }

func TestBackoff_Bounds(t *testing.T) {
	t.Parallel()
	for _, failures := range []int{-1 << 62, -1, 0, 1, 2, 3, 11, 12, 13, 14, 63, 64, 65, 1 << 62} {
		full := BackoffMax
		if n := max(failures, 1); n <= 12 {
			full = min(time.Second<<(n-1), BackoffMax)
		}
		low, high := full, time.Duration(0)
		for range 2000 {
			d := Backoff(failures)
			if d < full/2 || d > full {
				t.Fatalf("Backoff(%d) = %s, want %s to %s", failures, d, full/2, full)
			}
			low, high = min(low, d), max(high, d)
		}
		if low > full*6/10 || high < full*9/10 {
			t.Errorf("2000 × Backoff(%d) lie between %s and %s, want most of %s to %s used", failures, low, high, full/2, full)
		}
	}
}

func TestClampDelay_Edges(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want time.Duration }{
		{-1 << 63, 0}, {-1, 0}, {0, 0}, {1, time.Millisecond}, {time.Millisecond, time.Millisecond},
		{time.Millisecond + 1, 2 * time.Millisecond}, {MaxDelay - time.Millisecond, MaxDelay - time.Millisecond},
		{MaxDelay - time.Millisecond + 1, MaxDelay}, {MaxDelay - 1, MaxDelay}, {MaxDelay, MaxDelay}, {MaxDelay + 1, MaxDelay}, {1<<63 - 1, MaxDelay},
	}
	for _, test := range tests {
		if got := ClampDelay(test.in); got != test.want {
			t.Errorf("ClampDelay(%d) = %d, want %d", test.in, got, test.want)
		}
	}
}

func TestNewDispatchID_RangeAndUnique(t *testing.T) {
	t.Parallel()
	const n = 100_000
	seen := make(map[int64]bool, n)
	var or int64
	for range n {
		id := NewDispatchID()
		if id <= 0 || id >= 1<<53 || int64(float64(id)) != id {
			t.Fatalf("NewDispatchID() = %d, want 1 to 2^53-1", id)
		}
		if seen[id] {
			t.Fatalf("NewDispatchID() = %d, twice in %d", id, n)
		}
		seen[id] = true
		or |= id
	}
	if or != 1<<53-1 {
		t.Errorf("bits ever set: %x, want all 53", or)
	}
}

func TestOutcomeOf_EveryKind(t *testing.T) {
	t.Parallel()
	ref := Ref{ID: 1, DispatchID: 2}
	wrap := func(err error) error { return fmt.Errorf("wrapped: %w", err) }
	plain := errors.New("x\x00")
	tests := []struct {
		name string
		err  error
		want Outcome
	}{
		{"nil", nil, Outcome{Kind: Succeeded}},
		{"plain", plain, Outcome{Kind: Failed, Delay: 7 * time.Second, Error: "x\uFFFD"}},
		{"snooze", Snooze(time.Minute), Outcome{Kind: Snoozed, Delay: time.Minute}},
		{"snooze wrapped", wrap(wrap(Snooze(time.Minute))), Outcome{Kind: Snoozed, Delay: time.Minute}},
		{"snooze joined", errors.Join(plain, Snooze(time.Minute)), Outcome{Kind: Snoozed, Delay: time.Minute}},
		{"snooze too short", Snooze(-1), Outcome{Kind: Snoozed, Delay: 100 * time.Millisecond}},
		{"snooze too long", Snooze(1 << 62), Outcome{Kind: Snoozed, Delay: MaxDelay}},
		{"discard", Discard(plain), Outcome{Kind: Discarded, Error: "x\uFFFD"}},
		{"discard nil", Discard(nil), Outcome{Kind: Discarded, Error: "discard"}},
		{"discard wrapped", wrap(Discard(plain)), Outcome{Kind: Discarded, Error: "wrapped: x\uFFFD"}},
		{"cancel", Cancel(plain), Outcome{Kind: CalledOff, Error: "x\uFFFD"}},
		{"cancel nil", Cancel(nil), Outcome{Kind: CalledOff, Error: "cancel"}},
		{"cancel wrapped", wrap(Cancel(plain)), Outcome{Kind: CalledOff, Error: "wrapped: x\uFFFD"}},
		{"the outer of two", Discard(Cancel(plain)), Outcome{Kind: Discarded, Error: "x\uFFFD"}},
		{"discard of a snooze", Discard(Snooze(time.Minute)), Outcome{Kind: Discarded, Error: "snoozed for 1m0s"}},
		{"timeout", wrap(ErrTimeout), Outcome{Kind: Failed, Delay: 7 * time.Second, Error: "wrapped: job timed out"}},
	}
	for _, test := range tests {
		test.want.Ref, test.want.Ran = ref, time.Second
		if diff := cmp.Diff(test.want, OutcomeOf(ref, test.err, time.Second, 7*time.Second)); diff != "" {
			t.Errorf("OutcomeOf(%s) (-want +got):\n%s", test.name, diff)
		}
	}
	if !errors.Is(Discard(plain), plain) || !errors.Is(Cancel(plain), plain) {
		t.Error("Discard and Cancel must unwrap to their error")
	}
	if got := OutcomeOf(ref, plain, 0, -1).Delay; got != 0 {
		t.Errorf("delay of a negative backoff = %s, want 0", got)
	}
}

func TestBandOf_Edges(t *testing.T) {
	t.Parallel()
	for p, want := range map[int16]Band{-1: High, 0: High, 50: High, 51: Normal, 100: Normal, 150: Normal, 151: Low, 1000: Low} {
		if got := BandOf(p); got != want {
			t.Errorf("BandOf(%d) = %d, want %d", p, got, want)
		}
	}
}

func TestRef_String(t *testing.T) {
	t.Parallel()
	if got, want := (Ref{ID: 1<<63 - 1, DispatchID: 1<<53 - 1}).String(), "9223372036854775807:9007199254740991"; got != want {
		t.Errorf("Ref.String() = %s, want %s", got, want)
	}
}

func TestStaleError_IsErrStale(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("push: %w", &StaleError{Epoch: 7})
	var stale *StaleError
	if !errors.Is(err, ErrStale) || errors.Is(err, ErrBehind) || !errors.As(err, &stale) || stale.Epoch != 7 {
		t.Errorf("%v must be ErrStale with epoch 7", err)
	}
	if !utf8.ValidString(err.Error()) {
		t.Error("not valid UTF-8")
	}
}
