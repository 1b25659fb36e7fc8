package lab

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Insertion is what a producer recorded of a job, Execution what a worker did.
type Insertion struct{ Number, Intended, Begun, Committed int64 }

// Execution is one run of a job.
type Execution struct{ Number, Started, Ended int64 }

// Insertions reads a producer's record.
func (a *Actor) Insertions() (map[int64]Insertion, error) {
	out := map[int64]Insertion{}
	err := rows(a.file, 4, func(v []int64) { out[v[0]] = Insertion{v[0], v[1], v[2], v[3]} })
	return out, err
}

// Executions reads a worker's record.
func (a *Actor) Executions() ([]Execution, error) {
	var out []Execution
	err := rows(a.file, 3, func(v []int64) { out = append(out, Execution{v[0], v[1], v[2]}) })
	return out, err
}

func rows(file string, fields int, each func([]int64)) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read record: %w", err)
	}
	s := bufio.NewScanner(f)
	v := make([]int64, 0, fields)
	for s.Scan() {
		v = v[:0]
		var n int64
		for _, c := range s.Bytes() {
			if c == ' ' {
				v = append(v, n)
				n = 0
				continue
			}
			n = 10*n + int64(c-'0')
		}
		if v = append(v, n); len(v) != fields {
			return fmt.Errorf("read record: %q has not %d fields", s.Text(), fields)
		}
		each(v)
	}
	return errors.Join(s.Err(), f.Close())
}

// Quantiles of a sample, in ms.
type Quantiles struct {
	N    int     `json:"n"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// QuantilesOf sorts took and reads the quantiles; every sample counts, none is put
// into a bucket.
func QuantilesOf(took []time.Duration) Quantiles {
	if len(took) == 0 {
		return Quantiles{}
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return took[int(q*float64(len(took)-1))].Seconds() * 1000
	}
	return Quantiles{N: len(took), P50: at(0.5), P95: at(0.95), P99: at(0.99), P999: at(0.999), Max: at(1)}
}
