package push

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

// The headers of a request beside those of Standard Webhooks, and of an answer.
const (
	headerAttempt = "Rookery-Attempt" // attempt_count
	headerRetry   = "Rookery-Retry"   // of an answer: "never" makes the job dead at once
	headerAsync   = "Rookery-Async"   // of a 202: "true" says that the receiver will call back
)

// message is one request before it is sent.
type message struct {
	id      string
	attempt int32 // 0: it is a test
	body    []byte
}

// document is the body of a request: Standard Webhooks' three fields, and the job's.
type document struct {
	Type      string          `json:"type"` // the kind
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"` // the payload
	Job       *jobFacts       `json:"job,omitempty"`
	Callback  *callbackFacts  `json:"callback,omitempty"` // nil: this process was not told where
}

type jobFacts struct {
	ID           int64     `json:"id"`
	QueueName    string    `json:"queue_name"`
	AttemptCount int32     `json:"attempt_count"`
	MaxAttempts  int16     `json:"max_attempts"`
	Deadline     time.Time `json:"deadline"` // when the attempt is given up, unless it is extended
}

// callbackFacts are in the body because the body is what is signed: a receiver may trust
// them, and answer to nobody else.
type callbackFacts struct {
	URL       string    `json:"url"`   // the verbs come behind it: /complete, /fail, /extend
	Token     string    `json:"token"` // a secret, to be sent as Authorization: Bearer
	ExpiresAt time.Time `json:"expires_at"`
}

// messageOf makes the request of one attempt, to be answered by deadline.
func messageOf(e *job.Envelope, deadline time.Time, back *callbackFacts) (message, error) {
	payload := e.Payload
	if len(payload) == 0 {
		payload = json.RawMessage("null")
	}
	return newMessage(strconv.FormatInt(e.ID, 10), e.AttemptCount, document{
		Type: e.Kind, Timestamp: e.CreatedAt.UTC(), Data: payload,
		Job:      &jobFacts{ID: e.ID, QueueName: e.QueueName, AttemptCount: e.AttemptCount, MaxAttempts: e.MaxAttempts, Deadline: deadline.UTC()},
		Callback: back,
	})
}

func newMessage(id string, attempt int32, d document) (message, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the payload's strings stay as they are
	if err := enc.Encode(d); err != nil {
		return message{}, fmt.Errorf("encode request: %w", err)
	}
	return message{id: id, attempt: attempt, body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, nil
}
