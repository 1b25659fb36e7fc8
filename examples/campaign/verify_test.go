package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// books of five recipients, each with its mail, and two that were rolled back.
func balanced() (committed []recipient, rolledBack []int64, mails []receipt) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for id := range int64(5) {
		r := recipient{ID: id + 1, CampaignID: 9, Email: "r@" + string(rune('a'+id)), CreatedAt: at}
		committed = append(committed, r)
		mails = append(mails, receipt{At: at.Add(time.Duration(5-id) * time.Second), RecipientID: r.ID, CampaignID: 9, To: r.Email})
	}
	return committed, []int64{6, 7}, mails
}

func TestVerify_FindsPlantedDefects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		plant func(committed []recipient, mails []receipt) ([]recipient, []receipt)
		want  string
		ok    bool
		why   string
	}{
		{"none", nil, "demo: committed=5 delivered=5 lost=0 phantom=0 duplicates=0", true, ""},
		{"nothing at all", func([]recipient, []receipt) ([]recipient, []receipt) { return nil, nil },
			"demo: committed=0 delivered=0 lost=0 phantom=0 duplicates=0", true, ""},
		{"one mail missing", func(c []recipient, m []receipt) ([]recipient, []receipt) { return c, m[1:] },
			"demo: committed=5 delivered=4 lost=1 phantom=0 duplicates=0", false, ""},
		{"no mail", func(c []recipient, _ []receipt) ([]recipient, []receipt) { return c, nil },
			"demo: committed=5 delivered=0 lost=5 phantom=0 duplicates=0", false, ""},
		{"mail for a rolled-back recipient", func(c []recipient, m []receipt) ([]recipient, []receipt) {
			return c, append(m, receipt{RecipientID: 7, CampaignID: 9, To: "r@g"})
		}, "demo: committed=5 delivered=5 lost=0 phantom=1 duplicates=0", false, "its recipient was rolled back"},
		{"mail without an id", func(c []recipient, m []receipt) ([]recipient, []receipt) { return c, append(m, receipt{}) },
			"demo: committed=5 delivered=5 lost=0 phantom=1 duplicates=0", false, "its recipient is unknown"},
		{"mail to somebody else's address", func(c []recipient, m []receipt) ([]recipient, []receipt) {
			m[0].To = m[1].To
			return c, m
		}, "demo: committed=5 delivered=4 lost=1 phantom=1 duplicates=0", false, "it is addressed to somebody else"},
		{"mail of another campaign", func(c []recipient, m []receipt) ([]recipient, []receipt) {
			m[0].CampaignID = 8
			return c, m
		}, "demo: committed=5 delivered=4 lost=1 phantom=1 duplicates=0", false, "it is addressed to somebody else"},
		{"three copies too many", func(c []recipient, m []receipt) ([]recipient, []receipt) { return c, append(m, m[0], m[0], m[4]) },
			"demo: committed=5 delivered=5 lost=0 phantom=0 duplicates=3", true, ""},
		{"a copy does not stand in for a mail", func(c []recipient, m []receipt) ([]recipient, []receipt) { return c, append(m[:4], m[0]) },
			"demo: committed=5 delivered=4 lost=1 phantom=0 duplicates=1", false, ""},
	} {
		committed, rolledBack, mails := balanced()
		if c.plant != nil {
			committed, mails = c.plant(committed, mails)
		}
		got := verify(committed, rolledBack, mails)
		if got.String() != c.want || got.ok() != c.ok {
			t.Errorf("%s: verify() = %q, ok %t, want %q, %t", c.name, got, got.ok(), c.want, c.ok)
		}
		if c.why != "" && (len(got.Phantom) != 1 || got.Phantom[0].Why != c.why) {
			t.Errorf("%s: phantoms = %+v, want one because %s", c.name, got.Phantom, c.why)
		}
	}
}

func TestVerify_LatencyIsThatOfTheFirstCopy(t *testing.T) {
	t.Parallel()
	committed, rolledBack, mails := balanced()
	again := mails[0]
	again.At = again.At.Add(time.Hour)
	got := verify(committed, rolledBack, append(mails, again)).Latencies
	want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second}
	if !slices.Equal(got, want) {
		t.Errorf("Latencies = %v, want %v", got, want)
	}
	for _, c := range []struct {
		p    float64
		want time.Duration
	}{{0, time.Second}, {0.2, time.Second}, {0.21, 2 * time.Second}, {0.5, 3 * time.Second}, {0.99, 5 * time.Second}, {1, 5 * time.Second}} {
		if got := percentile(want, c.p); got != c.want {
			t.Errorf("percentile(%v) = %v, want %v", c.p, got, c.want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("percentile of none = %v, want 0", got)
	}
}

func TestVerify_DuplicatesNameTheFirstCopy(t *testing.T) {
	t.Parallel()
	committed, rolledBack, mails := balanced()
	mails[0].Process = 100
	second, third := mails[0], mails[0]
	second.Process, third.Process = 200, 300
	got := verify(committed, rolledBack, append(mails, second, third)).Duplicates
	want := []twin{{mails[0], second}, {mails[0], third}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Duplicates (-want +got):\n%s", diff)
	}
}

func TestReadReceipts_RefusesATornLine(t *testing.T) {
	t.Parallel()
	if _, err := readReceipts(strings.NewReader("{\"recipient_id\":1}\n{\"recipi")); err == nil {
		t.Error("readReceipts(torn line) = nil, want an error")
	}
	mails, err := readReceipts(strings.NewReader("{\"recipient_id\":1}\n{\"recipient_id\":2}\n"))
	if err != nil || len(mails) != 2 || mails[1].RecipientID != 2 {
		t.Errorf("readReceipts = %+v, %v, want two", mails, err)
	}
}

func TestPlanWave_CommitsWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	transactions, doomed := 0, 0
	for _, n := range []int{0, 1, crowd - 1, crowd, crowd + 1, 100_000} {
		sum := 0
		for _, b := range planWave(n) {
			if b.size < 1 || b.size > crowd {
				t.Fatalf("planWave(%d) has a batch of %d, want 1 to %d", n, b.size, crowd)
			}
			transactions++
			if b.doomed {
				doomed++
				continue
			}
			sum += b.size
		}
		if sum != n {
			t.Errorf("planWave(%d) commits %d", n, sum)
		}
	}
	// A binomial of about 1,470 with p = 0.1: five standard deviations are 57.
	if want := float64(transactions) * doom; float64(doomed) < want-57 || float64(doomed) > want+57 {
		t.Errorf("%d of %d transactions are doomed, want about %.0f", doomed, transactions, want)
	}
	total := 0
	for i := range 7 {
		total += share(100, 7, i)
	}
	if total != 100 {
		t.Errorf("shares of 100 sum up to %d", total)
	}
}
