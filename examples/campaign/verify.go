package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// recipient is a committed row of campaign.recipients.
type recipient struct {
	ID         int64
	CampaignID int64
	Email      string
	CreatedAt  time.Time // clock_timestamp() of the insert, not of the commit
}

// verdict is the outcome of comparing the business tables with the mail received.
type verdict struct {
	Committed  int
	Delivered  int     // committed recipients with mail
	Lost       []int64 // committed recipients without mail, ascending
	Phantom    []ghost // mails that should not exist, in order of arrival
	Duplicates []twin  // copies beyond the first, in order of arrival
	// Latencies are from the recipient's insert to its first mail, ascending. They
	// are right only when Postgres' clock is this machine's.
	Latencies []time.Duration
}

// twin is a copy of a mail, and the first one of it.
type twin struct{ First, Copy receipt }

// ghost is a mail that nobody committed, and why it is one.
type ghost struct {
	Mail receipt
	Why  string
}

// ok reports whether every committed recipient has mail, and nobody else.
func (v verdict) ok() bool { return len(v.Lost) == 0 && len(v.Phantom) == 0 }

// String returns the demo's last line.
func (v verdict) String() string {
	return fmt.Sprintf("demo: committed=%d delivered=%d lost=%d phantom=%d duplicates=%d",
		v.Committed, v.Delivered, len(v.Lost), len(v.Phantom), len(v.Duplicates))
}

// verify compares what was committed with what arrived. rolledBack are ids whose
// transaction was rolled back; it decides nothing, an id that is not committed is
// a phantom anyway, but it tells a broken transaction from a mix-up.
func verify(committed []recipient, rolledBack []int64, mails []receipt) verdict {
	known := make(map[int64]recipient, len(committed))
	for _, r := range committed {
		known[r.ID] = r
	}
	doomed := make(map[int64]struct{}, len(rolledBack))
	for _, id := range rolledBack {
		doomed[id] = struct{}{}
	}
	v := verdict{Committed: len(known)}
	first := make(map[int64]receipt, len(known))
	for _, m := range mails {
		r, exists := known[m.RecipientID]
		_, rolledBack := doomed[m.RecipientID]
		switch {
		case !exists && rolledBack:
			v.Phantom = append(v.Phantom, ghost{m, "its recipient was rolled back"})
		case !exists:
			v.Phantom = append(v.Phantom, ghost{m, "its recipient is unknown"})
		case m.To != r.Email || m.CampaignID != r.CampaignID:
			v.Phantom = append(v.Phantom, ghost{m, "it is addressed to somebody else"})
		default:
			if earlier, again := first[m.RecipientID]; again {
				v.Duplicates = append(v.Duplicates, twin{earlier, m})
				continue
			}
			first[m.RecipientID] = m
			v.Latencies = append(v.Latencies, m.At.Sub(r.CreatedAt))
		}
	}
	v.Delivered = len(first)
	for id := range known {
		if _, has := first[id]; !has {
			v.Lost = append(v.Lost, id)
		}
	}
	slices.Sort(v.Lost)
	slices.Sort(v.Latencies)
	return v
}

// readReceipts reads a received.jsonl. A line that is not a receipt is an error:
// the verifier does not guess.
func readReceipts(r io.Reader) ([]receipt, error) {
	var mails []receipt
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var m receipt
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("line %d of the mail index: %w", len(mails)+1, err)
		}
		mails = append(mails, m)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read mail index: %w", err)
	}
	return mails, nil
}

// percentile returns the value that p of 0 … 1 of the sorted values do not exceed,
// by the nearest rank; 0 of none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
