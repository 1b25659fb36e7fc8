package httpapi

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/penguinmails/rookery/job"
)

// mimeLines is one job a line, https://github.com/ndjson/ndjson-spec: what a program
// writes that does not want to hold a batch in memory as one value.
const mimeLines = "application/x-ndjson"

// decodeLines reads the body of POST /v1/jobs/batch when it has one job a line; empty lines
// are passed over. It refuses what [decodeJobs] refuses, and says in which line.
func decodeLines(body []byte, traceparent string, maxPrinted int) ([]job.Spec, error) {
	if len(body) == 0 {
		return nil, newProblem(http.StatusBadRequest, codeMissingBody, "the request has no body")
	}
	var (
		specs   []job.Spec
		faults  []fault
		more    bool
		n       int // lines so far
		printed int // bytes, as Postgres prints them
	)
	for line := range bytes.Lines(body) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(specs) == MaxJobs {
			return nil, wrongLines(fault{Line: n, Code: faultRange, Detail: fmt.Sprintf("line %d is one job too many: a batch has 1 to %d", n, MaxJobs)})
		}
		d, p := newDocument(line)
		if p != nil {
			p.Detail = fmt.Sprintf("line %d: %s", n, p.Detail)
			return nil, p
		}
		specs = append(specs, d.job(traceparent))
		printed += d.printed
		for _, f := range d.faults {
			if more = more || len(faults) == maxFaults; !more {
				f.Line, f.Detail = n, fmt.Sprintf("line %d: %s", n, f.Detail)
				faults = append(faults, f)
			}
		}
		more = more || d.more
	}
	switch {
	case len(faults) > 0:
		return nil, invalidJob(faults, more)
	case len(specs) == 0:
		return nil, wrongLines(fault{Code: faultRange, Detail: fmt.Sprintf("the body has no jobs, must have 1 to %d", MaxJobs)})
	case printed > maxPrinted:
		return nil, wrongLines(fault{Code: faultTooLarge, Detail: fmt.Sprintf("the jobs have %d bytes as Postgres prints them, must have at most %d together", printed, maxPrinted)})
	}
	return specs, nil
}

func wrongLines(f fault) *problem { return invalidJob([]fault{f}, false) }
