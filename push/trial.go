package push

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// testTime is the most that a test request may take.
const testTime = 10 * time.Second

// TestKind is the type of a test request, which has no job.
const TestKind = "rookery.test"

// Test sends an endpoint a request that is signed like every other and has no job, and
// says what came of it: never what the receiver wrote, since that may be an internal
// page and whoever asks be curious.
func (c *Client) Test(ctx context.Context, e job.Endpoint) (job.EndpointTest, error) {
	began := time.Now()
	e.TimeoutMS = min(e.TimeoutMS, int(testTime.Milliseconds()))
	m, err := newMessage("test_"+rand.Text(), 0, document{Type: TestKind, Timestamp: began.UTC(), Data: json.RawMessage("{}")})
	if err != nil {
		return job.EndpointTest{}, err
	}
	a, err := c.send(ctx, &e, m)
	out := job.EndpointTest{Status: a.status, TookMS: time.Since(began).Milliseconds(), Delivered: err == nil && a.good()}
	switch a.text = ""; {
	case errors.Is(err, errTimeout):
		out.Problem = "no answer within " + e.Timeout().String()
	case err != nil:
		out.Problem = job.ErrorText(err.Error())
	case !out.Delivered:
		out.Problem = a.err().Error()
	}
	return out, nil
}
