package workers

import (
	"encoding/json"

	"github.com/penguinmails/rookery/job"
)

// Job is one attempt at a job as its handler sees it: the envelope it travelled in.
// FailureCount and AttemptCount are those before and of this attempt. It belongs to
// the handler until Work returns; its fields are not written by the worker.
type Job struct {
	job.Envelope
	attempt *attempt // nil in tests of handlers
}

// Fence returns the dispatch_id that the attempt has at this moment: another than
// DispatchID once its worker holds it in Postgres, because Redis is away. It is for
// handlers that let others settle the attempt; see [Settled].
func (j *Job) Fence() int64 {
	if j.attempt == nil {
		return j.DispatchID
	}
	return j.attempt.fence.Load()
}

// Header returns the text value of one header, or "" when there is none. It decodes
// the headers at each call.
func (j *Job) Header(name string) string {
	var headers map[string]json.RawMessage
	if len(j.Headers) == 0 || json.Unmarshal(j.Headers, &headers) != nil {
		return ""
	}
	var value string
	if json.Unmarshal(headers[name], &value) != nil {
		return ""
	}
	return value
}

// LastAttempt reports whether a failure of this attempt makes the job dead.
func (j *Job) LastAttempt() bool { return j.FailureCount+1 >= j.MaxAttempts }
