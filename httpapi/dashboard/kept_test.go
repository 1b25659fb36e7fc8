package dashboard

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// Answers are read once in a while for each key, errors too, and anew when that is
// asked for.
func TestKept_ReadsOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads, wrong := 0, errors.New("away")
		k := &kept[string]{length: time.Second, read: func(_ context.Context, key string) (string, error) {
			if reads++; key == "bad" {
				return "", wrong
			}
			return key + strconv.Itoa(reads), nil
		}}
		want := func(key, value string, err error) {
			t.Helper()
			if got, e := k.look(t.Context(), key); got != value || !errors.Is(e, err) {
				t.Errorf("look(%s) = %q, %v, want %q, %v", key, got, e, value, err)
			}
		}
		want("a", "a1", nil)
		want("a", "a1", nil)
		want("b", "b2", nil)
		want("bad", "", wrong)
		want("bad", "", wrong)
		time.Sleep(999 * time.Millisecond) // synctest: time passes in the bubble
		want("a", "a1", nil)
		time.Sleep(time.Millisecond) // synctest
		want("a", "a4", nil)
		k.forget()
		want("a", "a5", nil)
		for i := range keptMost {
			want(strconv.Itoa(i), strconv.Itoa(i)+strconv.Itoa(6+i), nil)
		}
		if len(k.known) > keptMost {
			t.Errorf("%d keys are kept, want at most %d", len(k.known), keptMost)
		}
	})
}

func TestAbout_SaysHowSureItIs(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 1999: "1,999", 2000: "2,000+", 2001: "≈ 2,000", 93_482: "≈ 93,500", 99_999: "≈ 100,000", 100_000: "100,000+", 300_000: "100,000+"} {
		if got := about(n); got != want {
			t.Errorf("about(%d) = %q, want %q", n, got, want)
		}
	}
}
