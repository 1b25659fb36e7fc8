package redisq

import (
	"strconv"
	"strings"

	"github.com/penguinmails/rookery/job"
)

// The registry's keys carry no hash tag: no script touches them.
const (
	workersKey      = "rookery:workers"
	workerKeyPrefix = "rookery:worker:"
)

// keys builds the names of one queue's keys.
type keys string

// keysOf refuses a name that cannot be a hash tag with a [*job.FieldError].
func keysOf(queue string) (keys, error) {
	if err := job.CheckQueueName(queue); err != nil {
		return "", err
	}
	return keys("queue:{" + queue + "}"), nil
}

func (k keys) high() string      { return string(k) + ":high" }
func (k keys) normal() string    { return string(k) }
func (k keys) low() string       { return string(k) + ":low" }
func (k keys) leases() string    { return string(k) + ":leases" }
func (k keys) lost() string      { return string(k) + ":lost" }
func (k keys) bell() string      { return string(k) + ":bell" }
func (k keys) meta() string      { return string(k) + ":meta" }
func (k keys) batches() string   { return string(k) + ":batches" }
func (k keys) cancelled() string { return string(k) + ":cancelled" }

func (k keys) pushing() string { return string(k) + ":pushing" }
func (k keys) permits() string { return string(k) + ":permits" }
func (k keys) pushers() string { return string(k) + ":pushers" }

func (k keys) receipt(worker string) string { return string(k) + ":receipt:" + worker }

// members appends the lease member of every ref to args.
func members(args []any, refs []job.Ref) []any {
	for _, ref := range refs {
		args = append(args, ref.String())
	}
	return args
}

// parseRef reads a lease member.
func parseRef(member string) (job.Ref, bool) {
	id, dispatchID, ok := strings.Cut(member, ":")
	return refOf(id, dispatchID, ok)
}

// refOfEnvelope reads the attempt off the head of an envelope that may be
// unreadable otherwise, as the scripts do.
func refOfEnvelope(envelope string) (job.Ref, bool) {
	rest, ok := strings.CutPrefix(envelope, `{"id":`)
	if !ok {
		return job.Ref{}, false
	}
	id, rest, ok := strings.Cut(rest, `,"dispatch_id":`)
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	return refOf(id, rest[:n], ok)
}

func refOf(id, dispatchID string, ok bool) (job.Ref, bool) {
	i, err1 := strconv.ParseInt(id, 10, 64)
	d, err2 := strconv.ParseInt(dispatchID, 10, 64)
	return job.Ref{ID: i, DispatchID: d}, ok && err1 == nil && err2 == nil
}
